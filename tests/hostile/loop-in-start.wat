;; Never gets as far as being called.
(func $start (loop $again br $again))
(start $start)
