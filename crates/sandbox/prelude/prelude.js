// What an app's code finds around it: the web's interfaces, Node's modules as far as they make sense without a machine, and the
// two functions that Forge's packages call. Runs once, before the snapshot; nothing here may ask the worker at load time.
(() => {
  'use strict';
  const g = globalThis;
  const send = g.__send;
  const askText = g.__ask;
  const modules = g.__modules;
  const makeCrypto = g.__makeCrypto;
  for (const name of ['__send', '__ask', '__modules', '__makeCrypto', 'SharedArrayBuffer', 'Atomics']) delete g[name];
  const { Buffer, AbortSignal } = g;
  const { parse, stringify } = JSON;

  // Of bytes that are UTF-8 the engine's own functions make text many times faster than a loop in JavaScript.
  const { toString: slowToString } = Buffer.prototype;
  const { fromCharCode } = String;
  const { escape, decodeURIComponent: decode } = g;
  Buffer.prototype.toString = function toString(encoding, start, end) {
    const utf8 = encoding === undefined || encoding === 'utf8' || encoding === 'utf-8';
    if (!utf8 || start !== undefined || end !== undefined || this.length < 64) return slowToString.call(this, encoding, start, end);
    let text = '';
    for (let at = 0; at < this.length; at += 4096) text += fromCharCode.apply(null, this.subarray(at, at + 4096));
    try { return decode(escape(text)); } catch { return slowToString.call(this, encoding, start, end); }
  };

  const define = (values) => {
    for (const [name, value] of Object.entries(values)) {
      Object.defineProperty(g, name, { value, writable: true, configurable: true, enumerable: false });
    }
  };

  // ---- the worker and the host

  const ask = (op, particulars) => {
    const answer = parse(askText(stringify({ op, ...particulars })));
    if ('error' in answer) throw new Error(answer.error);
    return answer.ok;
  };

  const waiting = new Map();
  let lastCall = 0;
  const call = (op, data) => new Promise((resolve, reject) => {
    const id = ++lastCall;
    waiting.set(id, { resolve, reject });
    send('H' + stringify({ id, op, data }));
  });

  // ---- timers

  const timers = new Map();
  let lastTimer = 0;
  class Timeout {
    constructor(id) { this.id = id; }
    ref() { return this; }
    unref() { return this; }
    hasRef() { return true; }
    refresh() { const timer = timers.get(this.id); if (timer) { send(`T${this.id}`); send(`T${this.id} ${timer.after}`); } return this; }
    [Symbol.toPrimitive]() { return this.id; }
  }
  const startTimer = (run, after, args, repeat) => {
    if (typeof run !== 'function') throw new TypeError('The callback of a timer must be a function.');
    const id = ++lastTimer;
    const milliseconds = Math.min(Math.max(Math.trunc(Number(after)) || 0, repeat ? 1 : 0), 2147483647);
    timers.set(id, { run: () => run(...args), after: milliseconds, repeat });
    send(`T${id} ${milliseconds}`);
    return new Timeout(id);
  };
  const stopTimer = (timer) => {
    const id = Number(timer);
    if (timers.delete(id)) send(`T${id}`);
  };
  const onTimer = (id) => {
    const timer = timers.get(id);
    if (!timer) return;
    if (timer.repeat) send(`T${id} ${timer.after}`); else timers.delete(id);
    timer.run();
  };
  const timersModule = {
    setTimeout: (run, after, ...args) => startTimer(run, after, args, false),
    setInterval: (run, after, ...args) => startTimer(run, after, args, true),
    setImmediate: (run, ...args) => startTimer(run, 0, args, false),
    clearTimeout: stopTimer, clearInterval: stopTimer, clearImmediate: stopTimer,
  };
  define(timersModule);
  const timersPromises = { setTimeout: (after, value) => new Promise((resolve) => timersModule.setTimeout(resolve, after, value)) };

  // ---- randomness: fresh in each invocation

  let randomState = null;
  Math.random = function random() {
    if (!randomState) {
      const seed = Buffer.from(ask('random', { bytes: 16 }), 'base64');
      randomState = [0, 4, 8, 12].map((at) => seed.readUInt32LE(at));
    }
    // sfc32 (Doty-Humphrey), whose whole state is the seed.
    const draw = () => {
      let [a, b, c, d] = randomState;
      const t = (a + b + d) | 0;
      randomState = [b ^ (b >>> 9), (c + (c << 3)) | 0, (((c << 21) | (c >>> 11)) + t) | 0, (d + 1) | 0];
      return t >>> 0;
    };
    return (draw() * 2097152 + (draw() >>> 11)) / 9007199254740992;
  };

  // ---- crypto

  const { cryptoModule, webcrypto, CryptoKey, bytesOf, exact } = makeCrypto(ask);
  define({ crypto: webcrypto, CryptoKey });

  // ---- URLs: the worker parses them as the standard says

  class URLSearchParams {
    #pairs = []; #changed = null;
    constructor(init = '') {
      if (init instanceof URLSearchParams) this.#pairs = [...init];
      else if (init && typeof init === 'object') {
        const pairs = typeof init[Symbol.iterator] === 'function' ? [...init] : Object.entries(init);
        this.#pairs = pairs.map(([name, value]) => [String(name), String(value)]);
      } else {
        const read = (text) => decodeForm(text.replace(/\+/g, ' '));
        for (const part of String(init).replace(/^\?/, '').split('&')) {
          if (part === '') continue;
          const at = part.indexOf('=');
          this.#pairs.push(at < 0 ? [read(part), ''] : [read(part.slice(0, at)), read(part.slice(at + 1))]);
        }
      }
    }
    static of(url) { const params = new URLSearchParams(url.search); params.#changed = () => url.__setSearch(params.toString()); return params; }
    #touch() { this.#changed?.(); }
    append(name, value) { this.#pairs.push([String(name), String(value)]); this.#touch(); }
    delete(name, value) { this.#pairs = this.#pairs.filter(([n, v]) => n !== String(name) || (value !== undefined && v !== String(value))); this.#touch(); }
    get(name) { return this.#pairs.find(([n]) => n === String(name))?.[1] ?? null; }
    getAll(name) { return this.#pairs.filter(([n]) => n === String(name)).map(([, v]) => v); }
    has(name, value) { return this.#pairs.some(([n, v]) => n === String(name) && (value === undefined || v === String(value))); }
    set(name, value) {
      const at = this.#pairs.findIndex(([n]) => n === String(name));
      if (at < 0) this.#pairs.push([String(name), String(value)]);
      else {
        this.#pairs[at] = [String(name), String(value)];
        this.#pairs = this.#pairs.filter(([n], index) => index <= at || n !== String(name));
      }
      this.#touch();
    }
    sort() { this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)); this.#touch(); }
    forEach(each, self) { for (const [name, value] of this.#pairs) each.call(self, value, name, this); }
    get size() { return this.#pairs.length; }
    * entries() { yield* this.#pairs.map((pair) => [...pair]); }
    * keys() { for (const [name] of this.#pairs) yield name; }
    * values() { for (const [, value] of this.#pairs) yield value; }
    [Symbol.iterator]() { return this.entries(); }
    get [Symbol.toStringTag]() { return 'URLSearchParams'; }
    toString() { return this.#pairs.map((pair) => pair.map(encodeForm).join('=')).join('&'); }
  }
  const decodeForm = (text) => {
    try { return decodeURIComponent(text); } catch { return Buffer.from(text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16))), 'latin1').toString('utf8'); }
  };
  const encodeForm = (text) => encodeURIComponent(text.toWellFormed()).replace(/[!'()~]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase()).replace(/%20/g, '+');
  class URL {
    #parts; #params;
    constructor(url, base) {
      try { this.#parts = ask('parse_url', { url: String(url), base: base === undefined ? null : String(base) }); } catch {
        throw Object.assign(new TypeError('Invalid URL'), { code: 'ERR_INVALID_URL', input: String(url) });
      }
    }
    static canParse(url, base) { try { new URL(url, base); return true; } catch { return false; } }
    static parse(url, base) { try { return new URL(url, base); } catch { return null; } }
    get href() { return this.#parts.href; }
    set href(value) { this.#parts = new URL(value).#parts; this.#params = undefined; }
    get origin() { return this.#parts.origin; }
    get searchParams() { return (this.#params ??= URLSearchParams.of(this)); }
    __change(part, value) { this.#parts = ask('change_url', { url: this.href, part, value: String(value) }); if (part === 'search') this.#params = undefined; }
    __setSearch(value) { this.#parts = ask('change_url', { url: this.href, part: 'search', value }); }
    __part(name) { return this.#parts[name]; }
    toString() { return this.href; }
    toJSON() { return this.href; }
    get [Symbol.toStringTag]() { return 'URL'; }
  }
  for (const part of ['protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'hash']) {
    Object.defineProperty(URL.prototype, part, {
      get() { return this.__part(part); }, set(value) { this.__change(part, value); }, enumerable: true, configurable: true,
    });
  }
  define({ URL, URLSearchParams });

  // ---- fetch's types

  class Blob {
    #bytes;
    constructor(parts = [], options = {}) {
      this.#bytes = Buffer.concat(parts.map((part) => (part instanceof Blob ? part.#bytes : bytesOf(typeof part === 'object' ? part : String(part)))));
      this.type = String(options.type ?? '').toLowerCase();
    }
    static bytes(blob) { return blob.#bytes; }
    get size() { return this.#bytes.length; }
    slice(from, to, type) { return new Blob([this.#bytes.subarray(from, to)], { type }); }
    async text() { return this.#bytes.toString('utf8'); }
    async arrayBuffer() { return exact(this.#bytes); }
    async bytes() { return new Uint8Array(exact(this.#bytes)); }
    stream() { return streamOf(this.#bytes); }
    get [Symbol.toStringTag]() { return 'Blob'; }
  }
  class File extends Blob {
    constructor(parts, name, options = {}) { super(parts, options); this.name = String(name); this.lastModified = options.lastModified ?? Date.now(); }
    get [Symbol.toStringTag]() { return 'File'; }
  }
  class FormData {
    #entries = [];
    #value(value, name) { return value instanceof Blob ? (value instanceof File && name === undefined ? value : new File([value], name ?? value.name ?? 'blob', { type: value.type })) : String(value); }
    append(name, value, file) { this.#entries.push([String(name), this.#value(value, file)]); }
    set(name, value, file) { this.delete(name); this.append(name, value, file); }
    delete(name) { this.#entries = this.#entries.filter(([n]) => n !== String(name)); }
    get(name) { return this.#entries.find(([n]) => n === String(name))?.[1] ?? null; }
    getAll(name) { return this.#entries.filter(([n]) => n === String(name)).map(([, v]) => v); }
    has(name) { return this.#entries.some(([n]) => n === String(name)); }
    * entries() { yield* this.#entries; }
    * keys() { for (const [name] of this.#entries) yield name; }
    * values() { for (const [, value] of this.#entries) yield value; }
    forEach(each, self) { for (const [name, value] of this.#entries) each.call(self, value, name, this); }
    [Symbol.iterator]() { return this.entries(); }
    get [Symbol.toStringTag]() { return 'FormData'; }
    static encode(form) {
      const boundary = '----formdata-' + randomBytes(12).toString('hex');
      const quote = (text) => text.replace(/\r/g, '%0D').replace(/\n/g, '%0A').replace(/"/g, '%22');
      const parts = [];
      for (const [name, value] of form) {
        const head = `--${boundary}\r\nContent-Disposition: form-data; name="${quote(name)}"`;
        if (typeof value === 'string') parts.push(Buffer.from(`${head}\r\n\r\n${value}\r\n`));
        else parts.push(Buffer.from(`${head}; filename="${quote(value.name)}"\r\nContent-Type: ${value.type || 'application/octet-stream'}\r\n\r\n`), Blob.bytes(value), Buffer.from('\r\n'));
      }
      parts.push(Buffer.from(`--${boundary}--\r\n`));
      return [Buffer.concat(parts), `multipart/form-data; boundary=${boundary}`];
    }
  }
  class Headers {
    #map = new Map();
    constructor(init) {
      if (init === undefined || init === null) return;
      const pairs = typeof init[Symbol.iterator] === 'function' ? [...init] : Object.entries(init);
      for (const [name, value] of pairs) for (const one of Array.isArray(value) ? value : [value]) this.append(name, one);
    }
    #name(name) { const lower = String(name).toLowerCase(); if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(lower)) throw new TypeError(`Invalid header name: ${name}`); return lower; }
    #value(value) { const text = String(value).replace(/^[\t\r\n ]+|[\t\r\n ]+$/g, ''); if (/[\0\r\n]/.test(text)) throw new TypeError('Invalid header value'); return text; }
    append(name, value) { const n = this.#name(name); const v = this.#value(value); const old = this.#map.get(n); this.#map.set(n, old ? [...old, v] : [v]); }
    set(name, value) { this.#map.set(this.#name(name), [this.#value(value)]); }
    get(name) { return this.#map.get(this.#name(name))?.join(', ') ?? null; }
    getSetCookie() { return [...(this.#map.get('set-cookie') ?? [])]; }
    has(name) { return this.#map.has(this.#name(name)); }
    delete(name) { this.#map.delete(this.#name(name)); }
    * entries() { for (const name of [...this.#map.keys()].sort()) { if (name === 'set-cookie') for (const one of this.#map.get(name)) yield [name, one]; else yield [name, this.get(name)]; } }
    * keys() { for (const [name] of this.entries()) yield name; }
    * values() { for (const [, value] of this.entries()) yield value; }
    forEach(each, self) { for (const [name, value] of this.entries()) each.call(self, value, name, this); }
    [Symbol.iterator]() { return this.entries(); }
    get [Symbol.toStringTag]() { return 'Headers'; }
    toJSON() { return Object.fromEntries(this); }
  }
  const streamOf = (bytes) => new g.ReadableStream({ start(controller) { if (bytes.length) controller.enqueue(new Uint8Array(exact(bytes))); controller.close(); } });
  const collect = async (source) => {
    const parts = [];
    for await (const part of source) parts.push(bytesOf(part));
    return Buffer.concat(parts);
  };
  // Bytes, or a promise of them, and the media type that goes with the kind of body.
  const extract = (body) => {
    if (body === undefined || body === null) return [null, null];
    if (typeof body === 'string') return [body.toWellFormed(), 'text/plain;charset=UTF-8'];
    if (body instanceof URLSearchParams) return [body.toString(), 'application/x-www-form-urlencoded;charset=UTF-8'];
    if (body instanceof FormData) return FormData.encode(body);
    if (body instanceof Blob) return [Blob.bytes(body), body.type || null];
    if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return [Buffer.from(bytesOf(body)), null];
    if (typeof body.getReader === 'function' || typeof body[Symbol.asyncIterator] === 'function') return [collect(body), null];
    if (typeof body.getBuffer === 'function' && typeof body.getHeaders === 'function') return [body.getBuffer(), body.getHeaders()['content-type']];
    return [String(body).toWellFormed(), 'text/plain;charset=UTF-8'];
  };
  // Text stays text until somebody wants its bytes: most of what is sent is written and read as text.
  class Body {
    #text = null; #bytes = null; #used = false; #stream;
    _init(content) { if (typeof content === 'string') this.#text = content; else this.#bytes = content; }
    _content() { return this.#text ?? this.#bytes; }
    _bytes() { return (this.#bytes ??= this.#text === null ? null : Buffer.from(this.#text)); }
    get bodyUsed() { return this.#used; }
    get body() { return this._content() === null ? null : (this.#stream ??= streamOf(this._bytes())); }
    #use() {
      if (this.#used) throw new TypeError('Body is unusable: Body has already been read');
      this.#used = true;
    }
    async #take() { this.#use(); return (await this._bytes()) ?? Buffer.alloc(0); }
    async text() {
      if (this.#text === null) return (await this.#take()).toString('utf8').replace(/^\uFEFF/, '');
      this.#use();
      return this.#text.replace(/^\uFEFF/, '');
    }
    async json() { return parse(await this.text()); }
    async arrayBuffer() { return exact(await this.#take()); }
    async bytes() { return new Uint8Array(await this.arrayBuffer()); }
    async buffer() { return this.#take(); }
    async blob() { return new Blob([await this.#take()], { type: this.headers.get('content-type') ?? '' }); }
    async formData() {
      const form = new FormData();
      for (const [name, value] of new URLSearchParams(await this.text())) form.append(name, value);
      return form;
    }
  }
  const withType = (headers, type) => { if (type && !headers.has('content-type')) headers.set('content-type', type); };
  class Request extends Body {
    constructor(input, init = {}) {
      super();
      const from = input instanceof Request ? input : null;
      this.url = from ? from.url : String(input);
      this.method = String(init.method ?? from?.method ?? 'GET').toUpperCase();
      this.headers = new Headers(init.headers ?? from?.headers);
      this.redirect = init.redirect ?? from?.redirect ?? 'follow';
      this.signal = init.signal ?? from?.signal ?? new AbortSignal();
      const [bytes, type] = init.body !== undefined ? extract(init.body) : [from?._content() ?? null, null];
      if (bytes !== null && (this.method === 'GET' || this.method === 'HEAD')) throw new TypeError('Request with GET/HEAD method cannot have body.');
      this._init(bytes);
      withType(this.headers, type);
    }
    clone() { return new Request(this); }
    get [Symbol.toStringTag]() { return 'Request'; }
  }
  class Response extends Body {
    constructor(body, init = {}) {
      super();
      this.status = init.status ?? 200;
      this.statusText = init.statusText ?? '';
      this.headers = new Headers(init.headers);
      this.url = init.url ?? '';
      this.redirected = Boolean(init.redirected);
      this.type = 'default';
      const [bytes, type] = extract(body);
      this._init(bytes);
      withType(this.headers, type);
    }
    get ok() { return this.status >= 200 && this.status < 300; }
    clone() { const copy = new Response(null, this); copy._init(this._content()); return copy; }
    static json(data, init = {}) { const headers = new Headers(init.headers); withType(headers, 'application/json'); return new Response(stringify(data), { ...init, headers }); }
    static error() { return new Response(null, { status: 0 }); }
    static redirect(url, status = 302) { return new Response(null, { status, headers: { location: String(url) } }); }
    get [Symbol.toStringTag]() { return 'Response'; }
  }
  define({ Blob, File, FormData, Headers, Request, Response });

  // What goes over the boundary is text where it is text, and base64 otherwise.
  const isText = (bytes) => { const text = bytes.toString('utf8'); return text.includes('\uFFFD') ? null : text; };
  const toWire = async (request) => {
    const content = request._content();
    const out = { method: request.method, headers: [...request.headers] };
    if (typeof content === 'string') { out.text = content; return out; }
    const bytes = await content;
    if (bytes) { const text = isText(bytes); if (text === null) out.base64 = bytes.toString('base64'); else out.text = text; }
    return out;
  };
  const fromWire = (answer) => {
    const response = new Response(null, { ...answer, headers: answer.headers });
    response._init(answer.base64 !== undefined ? Buffer.from(answer.base64, 'base64') : answer.text ?? null);
    return response;
  };
  const abortable = (signal, promise) => {
    if (!signal) return promise;
    if (signal.aborted) return Promise.reject(signal.reason);
    return Promise.race([promise, new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))]);
  };

  const fetchFailed = (error) => { throw Object.assign(new TypeError('fetch failed'), { cause: error }); };
  define({
    async fetch(input, init) {
      const request = new Request(input, init);
      const wire = { url: request.url, redirect: request.redirect, ...(await toWire(request)) };
      return fromWire(await abortable(request.signal, call('fetch', wire)).catch((error) => (error === request.signal.reason && request.signal.aborted ? Promise.reject(error) : fetchFailed(error))));
    },
    async __forge_fetch__(target, path, init = {}) {
      const request = new Request('forge:', { ...init, method: init.method ?? 'GET', headers: init.headers ?? {} });
      return fromWire(await abortable(init.signal, call('forge_fetch', { target, path: String(path), ...(await toWire(request)) })));
    },
  });

  // ---- what @forge/api before 2.8 calls: an object `api` in place of the function

  const legacyApi = () => {
    const by = (provider, remote) => async (path, init) => {
      const answer = await g.__forge_fetch__({ type: 'fpp', provider, remote }, path, init);
      return { status: answer.status, statusText: answer.statusText, ok: answer.ok, url: answer.url, redirected: answer.redirected, type: answer.type, headers: Object.fromEntries(answer.headers), json: () => answer.json(), text: () => answer.text(), arrayBuffer: () => answer.arrayBuffer() };
    };
    const products = (provider) => ({ requestJira: by(provider, 'jira'), requestConfluence: by(provider, 'confluence'), requestGraph: by(provider, 'stargate'), __requestAtlassian: by(provider, 'stargate') });
    const webTrigger = { async getUrl(key) {
      const { appContext, contextAri } = g.__forge_runtime__;
      const query = 'mutation forge_app_createWebTriggerUrl($input: CreateWebTriggerUrlInput!) { createWebTriggerUrl(input: $input) { url } }';
      const input = { appId: `ari:cloud:ecosystem::app/${appContext.appId}`, envId: `ari:cloud:ecosystem::environment/${appContext.appId}/${appContext.environmentId}`, triggerKey: key, contextId: contextAri };
      const answer = await by('app', 'stargate')('/graphql', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: stringify({ query, variables: { input } }) });
      const url = (await answer.json()).data?.createWebTriggerUrl?.url;
      if (!url) throw new Error(`There is no web trigger ${key}.`);
      return url;
    } };
    const fetchPlain = async (url, init) => {
      const answer = await g.fetch(url, init);
      return { status: answer.status, statusText: answer.statusText, ok: answer.ok, url: answer.url, headers: Object.fromEntries(answer.headers), json: () => answer.json(), text: () => answer.text(), arrayBuffer: () => answer.arrayBuffer() };
    };
    const none = async () => { throw new Error('External accounts are not there on this server.'); };
    return {
      ...products('none'), fetch: fetchPlain, webTrigger, asApp: () => products('app'),
      asUser: () => ({ ...products('user'), withProvider: () => ({ hasCredentials: none, requestCredentials: none, listCredentials: none, fetch: none }) }),
      __getAppAri: () => ({ toString: () => g.__forge_runtime__.contextAri }),
    };
  };

  // ---- http and https of Node, on which older packages build

  const { Readable, Writable } = modules.stream;
  const requestOf = (secure) => (...args) => {
    const done = args.find((argument) => typeof argument === 'function');
    const options = {};
    for (const argument of args) {
      if (typeof argument === 'string' || argument instanceof URL) {
        const url = new URL(argument);
        Object.assign(options, { protocol: url.protocol, host: url.host, hostname: url.hostname, port: url.port, path: url.pathname + url.search });
      } else if (argument && typeof argument === 'object') Object.assign(options, argument);
    }
    const headers = new Headers(options.headers);
    const parts = [];
    const outgoing = new Writable({
      write(part, encoding, next) { parts.push(bytesOf(part, encoding)); next(); },
      final(next) { next(); go(); },
    });
    const go = async () => {
      try {
        const body = Buffer.concat(parts);
        const text = isText(body);
        const out = { method: String(options.method ?? 'GET').toUpperCase(), headers: [] };
        if (body.length) { if (text === null) out.base64 = body.toString('base64'); else out.text = text; }
        const path = options.path ?? '/';
        let answer;
        if (typeof options.agent === 'string') {
          const words = (headers.get('authorization') ?? '').split(' ');
          headers.delete('authorization');
          headers.delete('host');
          out.headers = [...headers];
          const provider = words[1] ?? 'none';
          const target = options.agent === 'EXTERNAL_AUTH_REQUEST' ? { type: 'tpp', provider: words[2], remote: options.host, accountId: words[3] } : options.agent === 'FORGE_REMOTE_COMPUTE_REQUEST' ? { type: 'frc', remote: new URL(`https://host${path}`).searchParams.get('remoteKey') } : { type: 'fpp', provider, remote: options.host ?? options.hostname };
          answer = await call('forge_fetch', { target, path, ...out });
        } else {
          out.headers = [...headers];
          const host = options.hostname ? options.hostname + (options.port ? `:${options.port}` : '') : options.host;
          answer = await call('fetch', { url: `${options.protocol ?? (secure ? 'https:' : 'http:')}//${host}${path}`, redirect: 'manual', ...out });
        }
        const bytes = answer.base64 !== undefined ? Buffer.from(answer.base64, 'base64') : Buffer.from(answer.text ?? '');
        const incoming = Readable.from(bytes.length ? [bytes] : []);
        Object.assign(incoming, {
          statusCode: answer.status, statusMessage: answer.statusText ?? '', httpVersion: '1.1', complete: true, socket: outgoing.socket,
          headers: Object.fromEntries(answer.headers), rawHeaders: answer.headers.flat(), trailers: {}, rawTrailers: [], setTimeout: () => incoming,
        });
        done?.(incoming);
        outgoing.emit('response', incoming);
      } catch (error) { outgoing.emit('error', error); }
    };
    const socket = Object.assign(new modules.events(), { setTimeout() {}, setNoDelay() {}, setKeepAlive() {}, ref() {}, unref() {}, destroy() {} });
    Object.assign(outgoing, {
      socket, connection: socket, setTimeout: () => outgoing, setNoDelay() {}, setSocketKeepAlive() {}, flushHeaders() {},
      setHeader(name, value) { headers.set(name, Array.isArray(value) ? value.join(', ') : value); }, getHeader: (name) => headers.get(name) ?? undefined,
      removeHeader: (name) => headers.delete(name), abort() { outgoing.destroy(); },
    });
    return outgoing;
  };
  const httpOf = (secure) => {
    const request = requestOf(secure);
    class Agent { constructor(options = {}) { this.options = options; } destroy() {} }
    return { request, get: (...args) => { const outgoing = request(...args); outgoing.end(); return outgoing; }, Agent, globalAgent: new Agent(), STATUS_CODES: {}, METHODS: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] };
  };

  // ---- Node's other modules

  // One invocation has the isolate for itself: what `run` stores holds until what it started has settled.
  class AsyncLocalStorage {
    #store;
    run(store, run, ...args) {
      const before = this.#store;
      const restore = () => { this.#store = before; };
      this.#store = store;
      let result;
      try { result = run(...args); } catch (error) { restore(); throw error; }
      if (result && typeof result.then === 'function') result.then(restore, restore); else restore();
      return result;
    }
    exit(run, ...args) { return this.run(undefined, run, ...args); }
    enterWith(store) { this.#store = store; }
    getStore() { return this.#store; }
    disable() { this.#store = undefined; }
    static bind(run) { return run; }
    static snapshot() { return (run, ...args) => run(...args); }
  }
  class AsyncResource {
    constructor(type) { this.type = type; }
    runInAsyncScope(run, self, ...args) { return run.apply(self, args); }
    bind(run) { return run; }
    emitDestroy() { return this; }
    static bind(run) { return run; }
  }
  const refuse = (module) => new Proxy(Object.create(null), {
    get: (_, name) => (typeof name === 'symbol' || name === 'then' || name === '__esModule' || name === 'default' ? undefined : function refused() { throw new Error(`${module}.${name} is not available to apps: they have no ${module === 'child_process' ? 'processes' : module === 'fs' ? 'files' : 'network'} here.`); }),
  });
  // The files that came with the app, read-only.
  let files = {};
  const fileError = (name, path) => Object.assign(new Error(`ENOENT: no such file or directory, ${name} '${path}'`), { code: 'ENOENT', errno: -2, syscall: name, path });
  const fileName = (path) => modules.path.resolve('/', String(path)).slice(1);
  const readFileSync = (path, options) => {
    const content = files[fileName(path)];
    if (content === undefined) throw fileError('open', path);
    const encoding = typeof options === 'string' ? options : options?.encoding;
    return encoding ? content : Buffer.from(content);
  };
  const fs = Object.assign(Object.create(refuse('fs')), {
    readFileSync, existsSync: (path) => fileName(path) in files, realpathSync: Object.assign((path) => String(path), { native: (path) => String(path) }),
    readFile(path, options, done) { const back = done ?? options; try { const content = readFileSync(path, done ? options : undefined); queueMicrotask(() => back(null, content)); } catch (error) { queueMicrotask(() => back(error)); } },
    statSync(path) { throw fileError('stat', path); }, lstatSync(path) { throw fileError('lstat', path); }, readdirSync(path) { throw fileError('scandir', path); },
    constants: {}, promises: { readFile: async (path, options) => readFileSync(path, options) },
  });
  const os = { platform: () => 'linux', type: () => 'Linux', release: () => '', arch: () => 'x64', EOL: '\n', hostname: () => 'localhost', tmpdir: () => '/tmp', homedir: () => '/', cpus: () => [], totalmem: () => 0, freemem: () => 0, endianness: () => 'LE', networkInterfaces: () => ({}), userInfo: () => ({ username: 'app' }) };
  const { process } = g;
  const performance = g.performance;
  process.hrtime = Object.assign((from) => { const now = performance.now(); const time = [Math.floor(now / 1000), Math.floor((now % 1000) * 1e6)]; return from ? [time[0] - from[0] - (time[1] < from[1] ? 1 : 0), (time[1] - from[1] + 1e9) % 1e9] : time; }, { bigint: () => BigInt(Math.floor(performance.now() * 1e6)) });
  process.stdout = { isTTY: false, write: (text) => { log('log')(String(text).replace(/\n$/, '')); return true; } };
  process.stderr = { isTTY: false, write: (text) => { log('error')(String(text).replace(/\n$/, '')); return true; } };
  Object.assign(modules.url, { URL, URLSearchParams, fileURLToPath: (url) => new URL(url).pathname, pathToFileURL: (path) => new URL(`file://${path}`) });
  Object.assign(modules.util, { TextEncoder: g.TextEncoder, TextDecoder: g.TextDecoder, stripVTControlCharacters: (text) => text.replace(/\u001b\[[0-9;]*m/g, ''), parseEnv: () => ({}) });
  modules.util.types = { ...modules.util.types, isExternal: () => false };
  Object.assign(modules.buffer, { Blob, File, atob: g.atob, btoa: g.btoa, constants: { MAX_LENGTH: 2 ** 31 - 1, MAX_STRING_LENGTH: 2 ** 29 - 24 } });
  modules.path.posix = modules.path;
  // What browserify-zlib has as members, newer packages read from one object; Brotli is not there, which they ask first.
  modules.zlib.constants = { ...Object.fromEntries(Object.entries(modules.zlib).filter(([name]) => name.startsWith('Z_'))), BROTLI_OPERATION_PROCESS: 0, BROTLI_OPERATION_FLUSH: 1, BROTLI_OPERATION_FINISH: 2 };
  Object.assign(modules, {
    async_hooks: { AsyncLocalStorage, AsyncResource, createHook: () => ({ enable() {}, disable() {} }), executionAsyncId: () => 0, triggerAsyncId: () => 0 },
    crypto: cryptoModule, fs, 'fs/promises': fs.promises, os, process, timers: timersModule, 'timers/promises': timersPromises,
    http: httpOf(false), https: httpOf(true), perf_hooks: { performance, PerformanceObserver: class { observe() {} disconnect() {} } },
    'stream/promises': modules.stream.promises, 'stream/web': { ReadableStream: g.ReadableStream, WritableStream: g.WritableStream, TransformStream: g.TransformStream },
    'util/types': modules.util.types, 'path/posix': modules.path, constants: {}, tty: { isatty: () => false }, module: { createRequire: () => require, builtinModules: [] },
    diagnostics_channel: { channel: () => ({ hasSubscribers: false, publish() {}, subscribe() {}, unsubscribe() {} }), tracingChannel: () => ({ hasSubscribers: false }) },
    worker_threads: { isMainThread: true, parentPort: null, workerData: null, threadId: 0 }, v8: {}, vm: refuse('vm'), inspector: {}, domain: {}, sys: modules.util,
    child_process: refuse('child_process'), net: refuse('net'), tls: refuse('tls'), dgram: refuse('dgram'), dns: refuse('dns'), cluster: { isMaster: true, isPrimary: true }, http2: refuse('http2'),
  });

  const notFound = (name) => Object.assign(new Error(`Cannot find module '${name}'`), { code: 'MODULE_NOT_FOUND' });
  const builtin = (name) => {
    const plain = name.replace(/^node:/, '');
    return Object.hasOwn(modules, plain) ? modules[plain] : undefined;
  };
  const require = (name) => {
    const found = builtin(String(name));
    if (found === undefined) throw notFound(name);
    return found;
  };
  define({ require });

  // ---- console

  const log = (level) => (...values) => {
    let text;
    try { text = modules.util.format(...values); } catch { text = '(a value that cannot be shown)'; }
    send('L' + stringify([level, text]));
  };
  const counts = {}; const started = {};
  const console = { log: log('log'), info: log('info'), warn: log('warn'), error: log('error'), debug: log('debug'), trace: log('debug'), dir: (value) => log('log')(value), table: (value) => log('log')(value), group() {}, groupCollapsed() {}, groupEnd() {}, assert(holds, ...values) { if (!holds) log('error')('Assertion failed', ...values); }, count(label = 'default') { log('log')(`${label}: ${(counts[label] = (counts[label] ?? 0) + 1)}`); }, countReset(label = 'default') { counts[label] = 0; }, time(label = 'default') { started[label] = Date.now(); }, timeEnd(label = 'default') { log('log')(`${label}: ${Date.now() - started[label]}ms`); }, timeLog(label = 'default') { log('log')(`${label}: ${Date.now() - started[label]}ms`); } };
  define({ console });

  // ---- the app

  let app = {};
  const quiet = { counter: () => ({ incr() {}, incrBy() {}, decr() {}, decrBy() {} }), timing: () => ({ measure: () => ({ stop() {} }), set() {} }), gauge: () => ({ set() {} }) };
  const runtimeOf = (given) => ({ ...given, metrics: quiet, featureFlags: () => false, lambdaContext: { awsRequestId: given.appContext?.invocationId, getRemainingTimeInMillis: () => Math.max(0, (given.deadlineMs ?? 0) - Date.now()) } });
  const setEnvironment = (variables) => {
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, variables);
  };

  // Called once, by the script that carries the app's files: `sources` are functions by file name.
  define({
    __load({ sources, texts, entries, variables }) {
      delete g.__load;
      files = texts;
      setEnvironment(variables);
      define({ __forge_runtime__: runtimeOf({ appContext: {}, proxy: {}, container: {} }) });
      // Packages since then look for the function and prefer the object, which knows less.
      const code = Object.values(sources).map(String);
      if (code.some((text) => text.includes('global.api')) && !code.some((text) => text.includes('__forge_fetch__'))) define({ api: legacyApi() });
      const loaded = new Map();
      const load = (file) => {
        if (loaded.has(file)) return loaded.get(file).exports;
        const module = { exports: {}, id: file, filename: `/${file}`, loaded: false, children: [], paths: [] };
        loaded.set(file, module);
        const folder = modules.path.dirname(`/${file}`);
        const local = (name) => {
          const found = builtin(String(name));
          if (found !== undefined) return found;
          if (!/^[./]/.test(name)) throw notFound(name);
          const base = modules.path.resolve(folder, name).slice(1);
          const candidates = [base, `${base}.js`, `${base}.cjs`, `${base}.json`, `${base}/index.js`, `${base}/index.cjs`];
          const file = candidates.find((candidate) => Object.hasOwn(sources, candidate) || (candidate.endsWith('.json') && Object.hasOwn(texts, candidate)));
          if (file === undefined) throw notFound(name);
          return Object.hasOwn(sources, file) ? load(file) : parse(texts[file]);
        };
        local.resolve = (name) => name; local.cache = {}; local.main = module;
        module.require = local;
        sources[file].call(module.exports, module, module.exports, local, `/${file}`, folder);
        module.loaded = true;
        return module.exports;
      };
      for (const [name, file] of Object.entries(entries)) app[name] = load(file);
    },
  });

  const own = (error) => {
    const out = {};
    for (const name of ['serviceKey', 'status', 'code', 'options', 'cause']) {
      const value = error?.[name];
      if (['string', 'number', 'boolean'].includes(typeof value) || (name === 'options' && value)) out[name] = value;
    }
    return out;
  };
  const threw = (error) => {
    const known = error !== null && typeof error === 'object';
    const name = known ? String(error.name ?? 'Error') : 'Error';
    const message = known ? String(error.message ?? '') : String(error);
    let text;
    try { text = stringify({ name, message, stack: known ? String(error.stack ?? '') : '', ...own(error) }); } catch { text = stringify({ name, message, stack: '' }); }
    send('E' + text);
  };
  const invoke = async ({ entry, name, event, context, runtime, variables }) => {
    randomState = null;
    setEnvironment(g.api && runtime.aaid ? { ...variables, __CURRENT_USER_ACCOUNT_ID: runtime.aaid } : variables);
    define({ __forge_runtime__: runtimeOf(runtime) });
    const handler = app[entry]?.[name];
    if (typeof handler !== 'function') throw new Error(`${entry} exports no function ${name}`);
    return handler(event, context);
  };
  define({
    __on_message(text) {
      const message = parse(text);
      if (message.t === 'timer') return onTimer(message.id);
      if (message.t === 'reply') {
        const caller = waiting.get(message.id);
        waiting.delete(message.id);
        if (message.error === undefined) caller?.resolve(message.ok); else caller?.reject(new Error(message.error));
        return undefined;
      }
      delete g.__on_message;
      invoke(message).then((result) => {
        let out;
        try { out = stringify(result); } catch (error) { threw(error); return; }
        send('R' + (out ?? 'null'));
      }, threw);
      return undefined;
    },
  });
})();
