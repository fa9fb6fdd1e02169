"""Gunicorn for the baselines: the usual settings of a Flask app that waits on servers.

Else they are those of webapp/gunicorn.conf.py. Options of the command line go before what stands here: ``accept``
runs bare Flask under greenlets with them, too.
"""

workers = 2
worker_class = "gthread"
threads = 8
worker_connections = 1000
keepalive = 15
timeout = 30
graceful_timeout = 5
loglevel = "warning"
control_socket_disable = True
