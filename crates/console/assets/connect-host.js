// The other end of `AP`: serves the frame of one Connect app, and only messages that come from it.
(() => {
  const frame = document.querySelector("iframe[data-app]");
  if (!frame) return;
  const { app, origin, about, token: formToken, user } = frame.dataset;
  const API = /^\/rest\/(api\/(2|3|latest)|atlassian-connect\/(1|latest))\//;
  const KEPT = ["content-type", "x-aaccountid", "x-request-id", "portcullis-decision", "location", "retry-after"];

  async function token() {
    const body = new URLSearchParams({ form_token: formToken, about });
    const answer = await fetch(`${location.pathname}/token`, { method: "POST", body, credentials: "same-origin" });
    if (!answer.ok) throw `HTTP ${answer.status}`;
    return (await answer.json()).token;
  }

  async function request({ url, type, method, data, contentType, headers, cache } = {}) {
    // What the browser would make of it is what is looked at.
    const target = new URL(String(url).replace(/^\/?/, "/"), location.origin);
    if (target.origin !== location.origin || !API.test(target.pathname)) throw "AP.request reaches the REST API alone.";
    const verb = String(method || type || "GET").toUpperCase();
    const sent = new Headers({ accept: "application/json", "ap-client-key": app });
    for (const [name, value] of Object.entries(headers || {})) {
      if (/^(accept|accept-language|if-match|if-none-match|x-atlassian-token|x-experimentalapi)$/i.test(name)) sent.set(name, value);
    }
    let body;
    if (verb === "GET" || verb === "HEAD") {
      if (data && typeof data === "object") for (const [name, value] of Object.entries(data)) target.searchParams.append(name, value);
    } else if (data !== undefined && data !== null) {
      body = typeof data === "string" ? data : JSON.stringify(data);
      sent.set("content-type", contentType || "application/json");
    }
    const answer = await fetch(target, { method: verb, headers: sent, body, credentials: "same-origin", redirect: "error", cache: cache === false ? "no-store" : "default" });
    const kept = Object.fromEntries(KEPT.map((name) => [name, answer.headers.get(name)]).filter(([, value]) => value !== null));
    return { status: answer.status, statusText: answer.statusText, body: await answer.text(), headers: kept };
  }

  function resize({ width, height } = {}) {
    const length = (value) => (/^\d{1,5}(px)?$/.test(value) ? `${Number.parseInt(value, 10)}px` : "");
    if (width !== undefined) frame.style.width = length(String(width)) || "100%";
    if (height !== undefined) frame.style.height = height === "100%" ? "80vh" : length(String(height)) || "20rem";
  }

  const calls = {
    token, request, resize,
    context: () => JSON.parse(about),
    user: () => ({ atlassianAccountId: user }),
    location: () => location.href,
    reload: () => location.reload(),
  };
  addEventListener("message", async (event) => {
    const { data } = event;
    if (event.source !== frame.contentWindow || event.origin !== origin || !data || data.portcullis !== 1) return;
    const answer = { portcullis: 1, id: data.id };
    try {
      const call = Object.hasOwn(calls, data.what) ? calls[data.what] : () => { throw "This is not there."; };
      answer.value = await call(data.value);
    } catch (error) {
      answer.error = typeof error === "string" ? error : "The request could not be made.";
    }
    event.source.postMessage(answer, origin);
  });
})();
