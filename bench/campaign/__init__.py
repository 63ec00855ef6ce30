"""Campaigns: from one file to a board, on one machine or a cluster.

    plan = make(read(Path("campaign.toml")))     # file.py, plan.py: what there is to do
    work(plan, LocalJobs(2), ...)                 # run.py: train, evaluate, keep the records
    listings(plan)                                # results.py: what came of it

A campaign is a list of runs, each a defense with options and seeds, or a model from anywhere. Its
steps are commands, `bench train` and `bench evaluate`, each a process of its own that can be killed
at any instant and goes on when it is started again. They form a graph: a student waits for its
teacher, an evaluation for its checkpoint.
"""
