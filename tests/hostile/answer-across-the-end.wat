;; Answers at the last bytes of its memory, where no answer has room.
(func (export "create") (param i32) (result i32) (i32.const 131064))
