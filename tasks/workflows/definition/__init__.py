"""Workflow definitions: from YAML or JSON to checked, frozen values, or to every mistake at once.

``parse.py`` is the way in, ``model.py`` what comes out, ``kinds.py`` how a kind is added, ``deciding.py`` what a
definition answers while a run goes on. Expressions: ``tasks/workflows/expressions``.

    name: order
    input_schema: {type: object, required: [id]}
    steps:
      - {key: fetch, kind: http, with: {url: "https://shop.example/orders/${{ input.id }}"}, retry: {max_attempts: 5}}
      - key: size
        kind: branch
        needs: [fetch]
        with:
          cases: [{when: steps.fetch.output.body.total > 1000, then: review}]
          otherwise: ship
      - {key: review, kind: approve, needs: [size], with: {message: "Order ${{ input.id }} is large"}}
      - {key: ship, kind: task, needs: [size], with: {task: shop.ship, args: {id: "${{ input.id }}"}}}
      - {key: told, kind: emit, needs: [review, ship], with: {event: order-done}}

**Order.** A step becomes ready when every step in its ``needs`` has ended, and waits for nothing else.

**Skipping.** ``when`` is evaluated when the step is ready; false or null skips it, anything but true or false fails
it. A step whose parents were all skipped is skipped, so a skip runs down a line. A step with a skipped parent and one
that succeeded runs, and reads null as the skipped one's output (Airflow calls this ``none_failed_min_one_success``);
that is how branches meet again. A step with a parent that failed, timed out or was cancelled never runs: it is
cancelled. ``states.after_parents`` is the rule.

**branch** chooses among steps that need it: the ``then`` of the first case whose ``when`` is true, else
``otherwise``. Steps that it names and does not choose are skipped; steps that need it and that it never names run as
after any other step. A step that several branches name runs if one of them chooses it.

**map** evaluates ``over`` to a list and does ``step`` (a kind and ``with``, with ``item`` and ``index`` in its
expressions) for each item: ``chunk_size`` items travel in one message, at most ``max_parallel`` chunks at once. Its
output is the list of outputs in order. An item that fails after its attempts fails the map; with ``on_item_failure:
collect`` it is null in the list.

**wait** is for ``seconds``, ``until`` a time, or for a ``signal``, whose payload is the output; ``timeout_s`` fails
it, or with ``on_timeout: continue`` gives null. **approve** waits for a decision; a rejection fails the step. Both
hold no worker. **workflow** starts a child run and waits for it, unless ``wait: false``; without a ``version`` it is
the one that was newest when the run, or the run at the top of its family, was submitted. **emit** writes an event in
the transaction that completes the step. **sql** may only read; values reach it as ``params``, never as text. **http**
takes secrets by name, in headers, so that no row, event or log holds one. **ai** asks a model, with a ``fallback``.
**task** calls a registered function.

**Failing.** An attempt that fails is repeated by ``retry``; one whose output misses ``expect`` counts as failed. With
``on_failure: fail_fast`` the first failed step fails the run and cancels the rest; with ``continue`` what does not
depend on it goes on, and the run has failed where something that depends on it could not be done, but succeeded where
nothing does; with ``compensate`` each succeeded step's ``compensate`` is done, newest first, and may read its
step's own output.

**Concurrency.** Of the runs with one ``concurrency.key``, at most ``limit`` are under way; the others wait to begin,
the most urgent first. A run that is being undone is under way, so none begins in its place before it is done; but it
waits for no place itself: what is to be undone should not stand behind new runs, which may never leave it one. So,
when an ended run is compensated, there may be one more than ``limit``, until it is done.

**Versions.** A run keeps the version with which it was submitted, and its children theirs: what is deployed while it
goes on changes nothing about it, nor about a retry of it; submit anew to use what is new. Schedules and triggers take
the newest version at each tick and event, unless they name one.

**Output.** ``outputs`` of the definition, and of steps (where ``output`` is the step's own), name the run's output;
without any it is an object of what the last steps gave.
"""
