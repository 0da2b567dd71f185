;; Is born with all the table elements that there can be.
(table 4294967295 funcref)
