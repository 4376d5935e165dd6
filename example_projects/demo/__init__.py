"""The demo: a scripted day in a shop, over real HTTP, and the proof that all of it stands in the journal.

    story.py    what happens, and which entries it must leave: data
    steps.py    what the story is made of
    cast.py     who, from where, with what
    play.py     plays the story
    browser.py  HTTP, cookies, forms
    apps.py     how each example project is started
    server.py   state directory, seed, server
    evidence.py what is on disk afterwards
    judge.py    expected against found
    leaks.py    looks for secrets on disk
    report.py   what a person sees

`make demo`, or `python -m example_projects.demo --help`. The story knows no framework: each app plays it.
"""
