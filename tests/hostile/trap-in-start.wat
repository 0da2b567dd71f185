;; Traps before it is called.
(func $start unreachable)
(start $start)
