"""What can be asked about any moment; ``answers`` has the keys and what comes back.

A question is an access (what was asked for is kept longer), and changes nothing else.
"""
