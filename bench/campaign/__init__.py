"""Campaigns: from one file to a board, on one machine or a cluster.

    campaign = read(Path("campaign.toml"))                     # definition: checks the whole file
    plan = make(campaign)                                      # execution: the steps
    Scheduler(State.load(plan), LocalJobs(folder, 2), ...).run()
    accuracies(collect(plan, None, print))                     # results: tables from the records

A campaign is a list of runs, each a defense with options and seeds, or a model from anywhere. Its
steps are commands, `bench train` and `bench evaluate`. Each is a process of its own, which can be
killed at any time and resumes when it is started again. They form a graph: a student waits for its
teacher, an evaluation for its checkpoint.
"""
