"""What a stranger can try on a service, tried: ``make attack``.

A module here that has a function ``run`` is one group of attacks. It returns a row for each
attack: what it is, how often it was tried, and how often the promise held. ``__main__`` runs all
groups and prints the table.
"""
