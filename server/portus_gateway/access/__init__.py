"""Who calls, what may they do, and what did they delete. Between the RPCs and the registry.

Nothing in here knows how the registry is asked, or what a message looks like.
"""
