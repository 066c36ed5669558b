// `AP` for pages of Connect apps: talks to the page of this site that frames it, and to nobody else. What is not here says so.
(() => {
  const query = new URLSearchParams(location.search);
  const script = document.currentScript;
  const host = query.get("xdm_e") || new URL(script.src).origin;
  const waiting = new Map();
  let last = 0;

  const ask = (what, value) => new Promise((resolve, reject) => {
    last += 1;
    waiting.set(last, { resolve, reject });
    parent.postMessage({ portcullis: 1, id: last, what, value }, host);
  });
  addEventListener("message", (event) => {
    const { data } = event;
    if (event.source !== parent || event.origin !== host || !data || data.portcullis !== 1) return;
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if (call) (data.error ? call.reject(data.error) : call.resolve(data.value));
  });

  const size = (width, height) => ask("resize", { width, height });
  // The content's height: `scrollHeight` is never less than the frame's.
  const whole = () => size("100%", `${Math.ceil(document.documentElement.getBoundingClientRect().height)}px`);
  const answered = (promise, callback) => { if (callback) promise.then(callback); return promise; };

  function request(first, second) {
    const options = typeof first === "string" ? { ...second, url: first } : { ...first };
    const { success, error, ...plain } = options;
    const call = ask("request", plain);
    const seen = call.then(
      (answer) => {
        const xhr = {
          status: answer.status, statusText: answer.statusText, responseText: answer.body,
          getResponseHeader: (name) => answer.headers[name.toLowerCase()] ?? null,
          getAllResponseHeaders: () => Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}`).join("\r\n"),
        };
        if (answer.status >= 200 && answer.status < 400) {
          success?.(answer.body, answer.statusText, xhr);
          return { body: answer.body, xhr };
        }
        error?.(xhr, answer.statusText, answer.body);
        throw { xhr, err: answer.body };
      },
      (words) => {
        error?.({ status: 0, responseText: words }, words, words);
        throw { xhr: { status: 0, responseText: words }, err: words };
      },
    );
    // With callbacks nobody waits for the promise.
    if (success || error) seen.catch(() => {});
    return seen;
  }

  const known = {
    context: {
      getToken: (callback) => answered(ask("token"), callback),
      getContext: (callback) => answered(ask("context"), callback),
    },
    request,
    resize: size,
    sizeToParent: () => size("100%", "100%"),
    getCurrentUser: (callback) => { ask("user").then(callback); },
    user: { getCurrentUser: (callback) => { ask("user").then(callback); } },
    getLocation: (callback) => { ask("location").then(callback); },
    navigator: { reload: () => ask("reload") },
    ready: (callback) => { callback?.(); },
  };
  const missing = (name) => new Proxy(() => { throw new Error(`AP.${name} is not there in Portcullis. See docs/security/connect.md for what is.`); }, {
    get: (_, inner) => (typeof inner === "string" && inner !== "then" ? missing(`${name}.${inner}`) : undefined),
  });
  const guarded = (object, path) => new Proxy(object, {
    get: (target, name) => {
      if (typeof name !== "string" || name === "then") return target[name];
      if (!(name in target)) return missing(path + name);
      const value = target[name];
      return typeof value === "object" ? guarded(value, `${path}${name}.`) : value;
    },
  });
  window.AP = guarded(known, "");

  const options = script.dataset.options || "";
  if (!options.includes("resize:false")) {
    addEventListener("load", () => {
      whole();
      new ResizeObserver(whole).observe(document.documentElement);
    });
  }
})();
