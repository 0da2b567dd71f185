(module (func (export "a")))
