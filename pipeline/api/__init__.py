"""What a running agent answers from outside: the tree's questions over HTTP, on a unix socket."""
