"""How it is deployed: that each file is what its tool takes, and keeps what it promises."""
