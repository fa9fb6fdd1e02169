"""What models cost: a table of prices by pattern and day, from which executions without a cost get one.

``model`` finds the price of a model on a day, ``files`` reads public price files, ``service`` is what callers use.
"""
