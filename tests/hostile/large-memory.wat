;; Is born with a page more memory than it may have.
(memory (export "memory") 4097)
