"""The language of expressions and templates in workflow definitions: a small, bounded subset of Python's expressions.

    when: input.amount > 100 and steps.check.output.risk < 0.5
    with: {url: "https://api.example.org/orders/${{ input.id }}", body: "${{ steps.fetch.output }}"}
    over: "[order for order in input.orders if not order.paid]"

**Values** are JSON's: null, true, false, numbers, texts, lists, and objects with texts as keys. ``True``, ``False``
and ``None`` are other spellings. ``true`` is no number: ``1 == true`` is false.

**Names**: ``input``, ``run`` (``run.id`` and so on), ``steps.<key>.output`` and ``steps.<key>.state``; ``item`` and
``index`` inside a map's step; ``output`` in a step's own ``outputs``. A key with a hyphen is written
``steps['fetch-page'].output``. Which steps are read is known before anything runs, so ``steps`` takes constant keys
only. Fields are read as ``a.b`` or ``a['b']``, items as ``a[0]`` and ``a[1:3]``. What is missing is an error;
``default(a.b, 0)`` and ``has(a.b)`` ask first.

**Operators**: ``+ - * / // %`` on numbers, ``+`` on texts and on lists, ``== != < <= > >= in not in``, ``is null``,
``and or not``, ``a if condition else b``, and ``[f(x) for x in list if condition]`` as in Python.
**Functions** stand in ``functions.py``; ``f(a, b)`` and ``a.f(b)`` are the same.

**Templates**: ``${{ expression }}`` inside a text is replaced by its value; a text that is exactly one ``${{ }}``
takes the value itself with its type. ``$${{`` is a plain ``${{``.

**Bounds** (``limits.py``): length of the source, nodes, depth, cost of evaluation, size of every text and of the
result. Nothing of Python can be reached: the parser is Python's ``ast``; what the compiler does not list is refused.

Why not a library. Measured in November 2026 with ``[s]`` and seven times ``.map(x, x+x+x+x)``, ``s`` a text of 40 kB:
cel-expr-python 0.1.3 (Google's C++) bounds iterations and depth, and takes 1.9 GB; common-expression-language 0.10.0
(Rust) takes 1.9 GB, and four nested maps of 100 items run for more than 25 s; cel-python 0.5.0 takes 1.3 GB, and
760 µs for one comparison. jmespath 1.1.0 has no arithmetic, and its ``join`` takes 0.8 GB. Jinja2's sandbox 3.1.6
makes ``'a'*10**9`` (to its maintainers limits within the process are out of scope, pallets/jinja #2149). simpleeval
1.0.8 squares numbers in nested comprehensions without end. None limits memory, so none could be bounded; only the
parser is borrowed.
"""
