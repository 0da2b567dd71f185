;; Is born with several memories in one module.
(memory (export "memory") 2)
(memory 1)
(memory 1)
