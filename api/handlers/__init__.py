"""What each route does, one class a noun: who asks, what is asked, the inbox or a read, the answer."""
