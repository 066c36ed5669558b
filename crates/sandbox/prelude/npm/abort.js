// AbortController of the web, on an EventTarget that lies in the snapshot.
const g = globalThis;

class AbortSignal extends g.EventTarget {
  constructor() { super(); this.aborted = false; this.reason = undefined; this.onabort = null; }
  throwIfAborted() { if (this.aborted) throw this.reason; }
  static abort(reason) { const controller = new AbortController(); controller.abort(reason); return controller.signal; }
  static timeout(after) { const controller = new AbortController(); g.setTimeout(() => controller.abort(new DOMException('The operation timed out.', 'TimeoutError')), after); return controller.signal; }
  static any(signals) {
    const controller = new AbortController();
    for (const signal of signals) {
      if (signal.aborted) { controller.abort(signal.reason); break; }
      signal.addEventListener('abort', () => controller.abort(signal.reason), { once: true });
    }
    return controller.signal;
  }
}
class AbortController {
  signal = new AbortSignal();
  abort(reason = new DOMException('This operation was aborted', 'AbortError')) {
    if (this.signal.aborted) return;
    this.signal.aborted = true;
    this.signal.reason = reason;
    const event = new g.Event('abort');
    this.signal.onabort?.(event);
    this.signal.dispatchEvent(event);
  }
}

g.AbortController = AbortController;
g.AbortSignal = AbortSignal;
