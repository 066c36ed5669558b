// `process/` of the libraries is the process of the isolate: its ticks are microtasks and need no timer.
module.exports = globalThis.process;
