"""What an operator may do: one way of doing each thing, under the console and the command line, all in the audit log.

Each action takes a pool or a connection that is in no transaction, and who acts; it returns how many things it
reached, or the record it made. Nothing to do is 0 and no error: two operators may press the same button.
"""
