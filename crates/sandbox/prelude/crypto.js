// Node's `crypto` and the web's `crypto.subtle`. Reviewed libraries compute, in the worker; here stand the shapes that packages know.
globalThis.__makeCrypto = (ask) => {
  'use strict';
  const { Buffer } = globalThis;

  const bytesOf = (data, encoding) => {
    if (typeof data === 'string') return Buffer.from(data, encoding);
    if (data instanceof ArrayBuffer) return Buffer.from(data);
    if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    if (data instanceof KeyObject && data.type === 'secret') return data.export();
    throw new TypeError('The data must be a string, a Buffer, a TypedArray or an ArrayBuffer.');
  };
  const wire = (data) => bytesOf(data).toString('base64');
  const exact = (buffer) => buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
  const asked = (op, particulars) => Buffer.from(ask(op, particulars), 'base64');
  const out = (buffer, encoding) => (encoding && encoding !== 'buffer' ? buffer.toString(encoding) : buffer);

  // ---- digests

  const HASHES = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'];
  const algorithmOf = (name) => {
    const plain = String(name?.name ?? name).toLowerCase().replace(/^rsa-/, '').replace('-', '');
    if (!HASHES.includes(plain)) throw new Error(`The digest ${name?.name ?? name} is not available to apps.`);
    return plain;
  };
  /** Takes parts until it is asked for the result. */
  class Collected {
    #parts = [];
    update(data, encoding) { this.#parts.push(bytesOf(data, encoding)); return this; }
    write(data, encoding) { this.update(data, encoding); return true; }
    end(data, encoding) { if (data !== undefined) this.update(data, encoding); return this; }
    _all() { return Buffer.concat(this.#parts); }
    _copy(copy) { for (const part of this.#parts) copy.update(part); return copy; }
  }
  class Hash extends Collected {
    #op; #particulars; #done = false;
    constructor(op, particulars) { super(); this.#op = op; this.#particulars = particulars; }
    update(data, encoding) {
      if (this.#done) throw new Error('Digest already called');
      return super.update(data, encoding);
    }
    digest(encoding) {
      if (this.#done) throw new Error('Digest already called');
      this.#done = true;
      return out(asked(this.#op, { ...this.#particulars, data: wire(this._all()) }), encoding);
    }
    copy() { return this._copy(new Hash(this.#op, this.#particulars)); }
  }
  const createHash = (algorithm) => new Hash('digest', { algorithm: algorithmOf(algorithm) });
  const createHmac = (algorithm, key) => new Hash('hmac', { algorithm: algorithmOf(algorithm), key: wire(key) });

  // ---- randomness

  const randomBytes = (count, done) => {
    const parts = [];
    for (let left = count; left > 0; left -= 65536) parts.push(asked('random', { bytes: Math.min(left, 65536) }));
    const bytes = Buffer.concat(parts);
    if (typeof done === 'function') queueMicrotask(() => done(null, bytes));
    return bytes;
  };
  const getRandomValues = (array) => {
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(randomBytes(array.byteLength));
    return array;
  };
  const randomUUID = () => {
    const bytes = randomBytes(16);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = bytes.toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  };
  const timingSafeEqual = (a, b) => {
    const [x, y] = [bytesOf(a), bytesOf(b)];
    if (x.length !== y.length) throw new RangeError('Input buffers must have the same byte length');
    let differs = 0;
    for (let at = 0; at < x.length; at++) differs |= x[at] ^ y[at];
    return differs === 0;
  };

  // ---- DER (ITU-T X.690), as far as keys need it

  const der = (tag, ...parts) => {
    const body = Buffer.concat(parts);
    const length = body.length < 128 ? [body.length] : body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255];
    return Buffer.concat([Buffer.from([tag, ...length]), body]);
  };
  const integer = (bytes) => {
    let at = 0;
    while (at < bytes.length - 1 && bytes[at] === 0) at += 1;
    const plain = bytes.subarray(at);
    return der(2, plain[0] & 0x80 ? Buffer.concat([Buffer.from([0]), plain]) : plain);
  };
  /** The values inside one: `[tag, content]` each. */
  const inside = (bytes) => {
    const found = [];
    for (let at = 0; at < bytes.length;) {
      const tag = bytes[at];
      let length = bytes[at + 1];
      at += 2;
      if (length & 0x80) {
        const count = length & 0x7f;
        if (count > 3) throw new Error('The key cannot be read.');
        length = bytes.readUIntBE(at, count);
        at += count;
      }
      if (!(at + length <= bytes.length)) throw new Error('The key cannot be read.');
      found.push([tag, bytes.subarray(at, at + length)]);
      at += length;
    }
    return found;
  };
  const RSA = Buffer.from('2a864886f70d010101', 'hex');
  const EC = Buffer.from('2a8648ce3d0201', 'hex');
  const ED25519 = Buffer.from('2b6570', 'hex');
  const CURVES = { p256: ['P-256', 'prime256v1', '2a8648ce3d030107', 32], p384: ['P-384', 'secp384r1', '2b81040022', 48], p521: ['P-521', 'secp521r1', '2b81040023', 66] };
  const curveOf = (oid) => Object.keys(CURVES).find((name) => CURVES[name][2] === oid.toString('hex'));
  const curveNamed = (name) => Object.keys(CURVES).find((key) => CURVES[key].slice(0, 2).includes(name));
  /** The scheme of an AlgorithmIdentifier. */
  const schemeOf = (identifier) => {
    const [[, oid], parameters] = inside(identifier);
    const scheme = oid.equals(RSA) ? 'rsa' : oid.equals(ED25519) ? 'ed25519' : oid.equals(EC) ? curveOf(parameters?.[1] ?? Buffer.alloc(0)) : undefined;
    if (!scheme) throw new Error('Keys of this kind are not available to apps on this server.');
    return scheme;
  };
  const algorithmIdentifier = (scheme) => {
    if (scheme === 'rsa') return der(0x30, der(6, RSA), der(5));
    if (scheme === 'ed25519') return der(0x30, der(6, ED25519));
    return der(0x30, der(6, EC), der(6, Buffer.from(CURVES[scheme][2], 'hex')));
  };
  const spki = (scheme, key) => der(0x30, algorithmIdentifier(scheme), der(3, Buffer.from([0]), key));
  const fromBase64Url = (text) => Buffer.from(String(text).replace(/-/g, '+').replace(/_/g, '/'), 'base64');
  const base64Url = (bytes) => bytes.toString('base64').replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

  /** What DER holds: a public key as SubjectPublicKeyInfo or PKCS #1, or a private one. */
  const readDer = (bytes, isPrivate) => {
    const [[tag, body]] = inside(bytes);
    if (tag !== 0x30) throw new Error('The key cannot be read.');
    const parts = inside(body);
    if (isPrivate) {
      // PKCS #8: version, algorithm, key. PKCS #1: version and nine integers. SEC 1: version, key, curve.
      if (parts[1]?.[0] === 0x30) return { scheme: schemeOf(parts[1][1]), bytes };
      if (parts[1]?.[0] === 2) return { scheme: 'rsa', bytes };
      const curve = parts.find(([kind]) => kind === 0xa0);
      const scheme = curve && curveOf(inside(curve[1])[0][1]);
      if (scheme) return { scheme, bytes };
      throw new Error('Keys of this kind are not available to apps on this server.');
    }
    if (parts[0]?.[0] === 0x30) return { scheme: schemeOf(parts[0][1]), bytes };
    return { scheme: 'rsa', bytes: spki('rsa', bytes) };
  };
  const PEM = /-----BEGIN ([A-Z ]+)-----([A-Za-z0-9+/=\s]+)-----END \1-----/;
  const readPem = (text) => {
    const [, label, base64] = PEM.exec(text) ?? [];
    if (!label) throw Object.assign(new Error('error:1E08010C:DECODER routines::unsupported'), { code: 'ERR_OSSL_UNSUPPORTED' });
    if (label === 'CERTIFICATE' || label.startsWith('ENCRYPTED')) throw new Error(`A key in ${label.toLowerCase()} form is not available to apps on this server.`);
    const isPrivate = label.endsWith('PRIVATE KEY');
    return { isPrivate, ...readDer(Buffer.from(base64.replace(/\s/g, ''), 'base64'), isPrivate) };
  };
  const readJwk = (jwk) => {
    const n = (name) => fromBase64Url(jwk[name] ?? '');
    if (jwk.kty === 'RSA') {
      if (jwk.d === undefined) return { isPrivate: false, scheme: 'rsa', bytes: spki('rsa', der(0x30, integer(n('n')), integer(n('e')))) };
      return { isPrivate: true, scheme: 'rsa', bytes: der(0x30, der(2, Buffer.from([0])), ...['n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi'].map((name) => integer(n(name)))) };
    }
    if (jwk.kty === 'EC' && curveNamed(jwk.crv)) {
      const scheme = curveNamed(jwk.crv);
      const point = Buffer.concat([Buffer.from([4]), n('x'), n('y')]);
      if (jwk.d === undefined) return { isPrivate: false, scheme, bytes: spki(scheme, point) };
      const oid = der(6, Buffer.from(CURVES[scheme][2], 'hex'));
      return { isPrivate: true, scheme, bytes: der(0x30, der(2, Buffer.from([1])), der(4, n('d')), der(0xa0, oid), der(0xa1, der(3, Buffer.from([0]), point))) };
    }
    if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') {
      if (jwk.d === undefined) return { isPrivate: false, scheme: 'ed25519', bytes: spki('ed25519', n('x')) };
      return { isPrivate: true, scheme: 'ed25519', bytes: der(0x30, der(2, Buffer.from([0])), algorithmIdentifier('ed25519'), der(4, der(4, n('d')))) };
    }
    throw new Error(`A JWK of the kind ${jwk.kty} is not available to apps on this server.`);
  };
  /** The numbers of a public key. */
  const publicJwk = ({ scheme, bytes }) => {
    const key = inside(inside(bytes)[0][1])[1][1].subarray(1);
    if (scheme === 'rsa') {
      const [[, n], [, e]] = inside(inside(key)[0][1]);
      const plain = (number) => base64Url(number[0] === 0 ? number.subarray(1) : number);
      return { kty: 'RSA', n: plain(n), e: plain(e) };
    }
    if (scheme === 'ed25519') return { kty: 'OKP', crv: 'Ed25519', x: base64Url(key) };
    const size = CURVES[scheme][3];
    return { kty: 'EC', crv: CURVES[scheme][0], x: base64Url(key.subarray(1, 1 + size)), y: base64Url(key.subarray(1 + size)) };
  };

  // ---- keys

  const secretParts = new WeakMap();
  class KeyObject {
    constructor(type, parts) { this.type = type; secretParts.set(this, parts); }
    static from(key) { return CryptoKey.object(key); }
    get symmetricKeySize() { return this.type === 'secret' ? secretParts.get(this).bytes.length : undefined; }
    get asymmetricKeyType() { const { scheme } = secretParts.get(this); return this.type === 'secret' ? undefined : CURVES[scheme] ? 'ec' : scheme; }
    get asymmetricKeyDetails() {
      if (this.type === 'secret') return undefined;
      const { scheme } = secretParts.get(this);
      if (CURVES[scheme]) return { namedCurve: CURVES[scheme][1] };
      if (scheme !== 'rsa') return {};
      const { n, e } = publicJwk(publicParts(this));
      return { modulusLength: fromBase64Url(n).length * 8, publicExponent: BigInt(`0x${fromBase64Url(e).toString('hex')}`) };
    }
    equals(other) { return this.type === other.type && secretParts.get(this).bytes.equals(secretParts.get(other).bytes); }
    export(options = {}) {
      const { bytes, scheme } = secretParts.get(this);
      if (this.type === 'secret') return options.format === 'jwk' ? { kty: 'oct', k: base64Url(bytes) } : bytes;
      if (options.format === 'jwk') {
        if (this.type === 'private') throw new Error('A private key is not exported as a JWK on this server.');
        return publicJwk({ scheme, bytes });
      }
      if (options.format === 'der') return bytes;
      const pkcs8 = this.type === 'private' && inside(inside(bytes)[0][1])[1][0] === 0x30;
      const label = this.type === 'public' ? 'PUBLIC KEY' : pkcs8 ? 'PRIVATE KEY' : scheme === 'rsa' ? 'RSA PRIVATE KEY' : 'EC PRIVATE KEY';
      return `-----BEGIN ${label}-----\n${bytes.toString('base64').replace(/(.{64})(?=.)/g, '$1\n')}\n-----END ${label}-----\n`;
    }
  }
  const publicParts = (key) => {
    const { scheme, bytes } = secretParts.get(key);
    return key.type === 'public' ? { scheme, bytes } : { scheme, bytes: asked('public_key', { scheme, key: wire(bytes) }) };
  };
  /** Reads a key as Node takes one: PEM, DER, JWK, a KeyObject, or an object around one of them. */
  const readKey = (given, wanted) => {
    if (given instanceof KeyObject) return given;
    if (CryptoKey.is(given)) return CryptoKey.object(given);
    const around = given && typeof given === 'object' && !ArrayBuffer.isView(given) && !(given instanceof ArrayBuffer);
    if (around && given.format === 'jwk') { const read = readJwk(given.key); return new KeyObject(read.isPrivate ? 'private' : 'public', read); }
    if (around && given.format === 'der') return new KeyObject(wanted, readDer(bytesOf(given.key), wanted === 'private'));
    if (around) return readKey(given.key, wanted);
    const read = readPem(typeof given === 'string' ? given : bytesOf(given).toString('latin1'));
    return new KeyObject(read.isPrivate ? 'private' : 'public', read);
  };
  const createPrivateKey = (given) => {
    const key = readKey(given, 'private');
    if (key.type !== 'private') throw new TypeError('The key is no private key.');
    return key;
  };
  const createPublicKey = (given) => {
    const key = readKey(given, 'public');
    if (key.type === 'secret') throw new TypeError('The key is no public key.');
    return key.type === 'public' ? key : new KeyObject('public', publicParts(key));
  };
  const createSecretKey = (key, encoding) => new KeyObject('secret', { bytes: Buffer.from(bytesOf(key, encoding)) });

  // ---- signatures

  const HASH_OF = { p256: 'sha256', p384: 'sha384', p521: 'sha512', ed25519: 'sha512' };
  const constants = { RSA_PKCS1_PADDING: 1, RSA_PKCS1_OAEP_PADDING: 4, RSA_PKCS1_PSS_PADDING: 6, RSA_PSS_SALTLEN_DIGEST: -1, RSA_PSS_SALTLEN_MAX_SIGN: -2, RSA_PSS_SALTLEN_AUTO: -2 };
  const how = (algorithm, scheme, options) => ({
    scheme: scheme === 'rsa' && options?.padding === constants.RSA_PKCS1_PSS_PADDING ? 'rsa-pss' : scheme,
    algorithm: algorithm ? algorithmOf(algorithm) : HASH_OF[scheme] ?? 'sha256',
    written: options?.dsaEncoding === 'ieee-p1363' ? 'fixed' : 'der',
  });
  const sign = (algorithm, data, given) => {
    const { scheme, bytes } = secretParts.get(createPrivateKey(given));
    return asked('sign', { ...how(algorithm, scheme, given), key: wire(bytes), data: wire(data) });
  };
  const verify = (algorithm, data, given, signature) => {
    const { scheme, bytes } = secretParts.get(createPublicKey(given));
    return ask('verify', { ...how(algorithm, scheme, given), key: wire(bytes), data: wire(data), signature: wire(signature) });
  };
  class Sign extends Collected {
    constructor(algorithm) { super(); this.algorithm = algorithmOf(algorithm); }
    sign(key, encoding) { return out(sign(this.algorithm, this._all(), key), encoding); }
  }
  class Verify extends Collected {
    constructor(algorithm) { super(); this.algorithm = algorithmOf(algorithm); }
    verify(key, signature, encoding) { return verify(this.algorithm, this._all(), key, bytesOf(signature, encoding)); }
  }

  // ---- ciphers and derived keys

  const CIPHER = /^(?:id-)?aes-?(128|256)-(cbc|ctr|gcm)$/i;
  class Cipher extends Collected {
    #with; #encrypt; #aad = []; #tag; #padding = true;
    constructor(encrypt, name, key, iv) {
      super();
      const [, bits, mode] = CIPHER.exec(name) ?? [];
      if (!mode) throw Object.assign(new Error(`The cipher ${name} is not available to apps on this server.`), { code: 'ERR_CRYPTO_UNKNOWN_CIPHER' });
      if (bytesOf(key).length * 8 !== Number(bits)) throw Object.assign(new RangeError('Invalid key length'), { code: 'ERR_CRYPTO_INVALID_KEYLEN' });
      this.#with = { mode: mode.toLowerCase(), key: wire(key), iv: wire(iv) };
      this.#encrypt = encrypt;
    }
    setAAD(data) { this.#aad.push(bytesOf(data)); return this; }
    setAutoPadding(padding = true) { this.#padding = padding; return this; }
    setAuthTag(tag, encoding) { this.#tag = bytesOf(tag, encoding); return this; }
    getAuthTag() { if (!this.#tag) throw new Error('Invalid state for operation getAuthTag'); return this.#tag; }
    // All of it is computed at the end: what `update` gives back is empty.
    update(data, inputEncoding, outputEncoding) { super.update(data, inputEncoding); return out(Buffer.alloc(0), outputEncoding); }
    final(encoding) {
      const gcm = this.#with.mode === 'gcm';
      if (gcm && !this.#encrypt && this.#tag?.length !== 16) throw new Error('Unsupported state or unable to authenticate data');
      const data = gcm && !this.#encrypt ? Buffer.concat([this._all(), this.#tag]) : this._all();
      const done = asked('cipher', { ...this.#with, encrypt: this.#encrypt, aad: wire(Buffer.concat(this.#aad)), padding: this.#padding, data: wire(data) });
      if (!gcm || !this.#encrypt) return out(done, encoding);
      this.#tag = done.subarray(done.length - 16);
      return out(done.subarray(0, done.length - 16), encoding);
    }
  }
  const pbkdf2Sync = (password, salt, iterations, bytes, hash) => asked('pbkdf2', { algorithm: algorithmOf(hash), password: wire(password), salt: wire(salt), iterations, bytes });
  const hkdfSync = (hash, key, salt, info, bytes) => exact(asked('hkdf', { algorithm: algorithmOf(hash), secret: wire(key), salt: wire(salt), info: wire(info), bytes }));
  const later = (compute) => (...args) => {
    const done = args.pop();
    let result;
    try { result = compute(...args); } catch (error) { queueMicrotask(() => done(error)); return; }
    queueMicrotask(() => done(null, result));
  };

  // ---- the web's side

  const keys = new WeakMap();
  class CryptoKey {
    constructor(object, algorithm, extractable, usages) { keys.set(this, object); Object.assign(this, { type: object.type, algorithm, extractable, usages }); }
    static is(key) { return keys.has(key); }
    static object(key) { return keys.get(key); }
    get [Symbol.toStringTag]() { return 'CryptoKey'; }
  }
  const named = (algorithm) => (typeof algorithm === 'string' ? { name: algorithm } : algorithm);
  const fail = (name, message) => { throw Object.assign(new Error(message), { name }); };
  const WEB_SCHEMES = { 'RSASSA-PKCS1-V1_5': 'rsa', 'RSA-PSS': 'rsa-pss', ECDSA: 'ec', ED25519: 'ed25519' };
  const CIPHERS = { 'AES-GCM': 'gcm', 'AES-CBC': 'cbc', 'AES-CTR': 'ctr' };
  const partsOf = (key) => secretParts.get(keys.get(key));
  const web = (algorithm, key) => {
    const kind = WEB_SCHEMES[named(algorithm).name.toUpperCase()] ?? fail('NotSupportedError', `${named(algorithm).name} is not available to apps on this server.`);
    const { scheme } = partsOf(key);
    return { scheme: kind === 'ec' || kind === 'ed25519' ? scheme : kind, algorithm: algorithmOf(named(algorithm).hash ?? key.algorithm.hash ?? HASH_OF[scheme]), written: 'fixed' };
  };
  const crypt = (encrypt) => async (algorithm, key, data) => {
    const mode = CIPHERS[algorithm.name.toUpperCase()] ?? fail('NotSupportedError', `${algorithm.name} is not available to apps on this server.`);
    if (algorithm.tagLength !== undefined && algorithm.tagLength !== 128) fail('NotSupportedError', 'Tags of 128 bits are available to apps on this server, no others.');
    const iv = algorithm.iv ?? algorithm.counter;
    try {
      return exact(asked('cipher', { mode, encrypt, key: wire(partsOf(key).bytes), iv: wire(iv), aad: wire(algorithm.additionalData ?? ''), padding: true, data: wire(data) }));
    } catch (error) { return fail('OperationError', error.message); }
  };
  const subtle = {
    async digest(algorithm, data) { return exact(createHash(algorithm).update(data).digest()); },
    async importKey(format, key, given, extractable, usages) {
      const algorithm = named(given);
      const name = algorithm.name.toUpperCase();
      const kept = { ...algorithm, ...(algorithm.hash ? { hash: named(algorithm.hash) } : {}) };
      if (WEB_SCHEMES[name]) {
        if (format === 'raw' && name === 'ED25519') return new CryptoKey(new KeyObject('public', { scheme: 'ed25519', bytes: spki('ed25519', bytesOf(key)) }), kept, extractable, usages);
        if (format === 'raw' && name === 'ECDSA') { const scheme = curveNamed(algorithm.namedCurve); return new CryptoKey(new KeyObject('public', { scheme, bytes: spki(scheme, bytesOf(key)) }), kept, extractable, usages); }
        const around = format === 'jwk' ? { key, format: 'jwk' } : { key, format: 'der' };
        return new CryptoKey(readKey(around, format === 'pkcs8' ? 'private' : 'public'), kept, extractable, usages);
      }
      if (name !== 'HMAC' && !CIPHERS[name] && !['PBKDF2', 'HKDF'].includes(name)) fail('NotSupportedError', `${algorithm.name} is not available to apps on this server.`);
      const bytes = format === 'jwk' ? fromBase64Url(key.k) : bytesOf(key);
      return new CryptoKey(createSecretKey(Buffer.from(bytes)), { ...kept, length: bytes.length * 8 }, extractable, usages);
    },
    async exportKey(format, key) {
      if (!key.extractable) fail('InvalidAccessError', 'The key is not extractable.');
      const object = keys.get(key);
      if (format === 'jwk') return object.export({ format: 'jwk' });
      if (format === 'raw' && key.type === 'secret') return exact(Buffer.from(object.export()));
      if ((format === 'spki' && key.type === 'public') || (format === 'pkcs8' && key.type === 'private')) return exact(Buffer.from(object.export({ format: 'der' })));
      return fail('NotSupportedError', 'The key cannot be exported so.');
    },
    async generateKey(given, extractable, usages) {
      const algorithm = named(given);
      const name = algorithm.name.toUpperCase();
      if (name !== 'HMAC' && !CIPHERS[name]) fail('NotSupportedError', `Keys of ${algorithm.name} are not made on this server.`);
      const bits = algorithm.length ?? 512;
      return new CryptoKey(createSecretKey(randomBytes(bits / 8)), { ...algorithm, length: bits }, extractable, usages);
    },
    async sign(algorithm, key, data) {
      if (named(algorithm).name.toUpperCase() === 'HMAC') return exact(createHmac(key.algorithm.hash, partsOf(key).bytes).update(data).digest());
      return exact(asked('sign', { ...web(algorithm, key), key: wire(partsOf(key).bytes), data: wire(data) }));
    },
    async verify(algorithm, key, signature, data) {
      if (named(algorithm).name.toUpperCase() === 'HMAC') {
        const [expected, given] = [createHmac(key.algorithm.hash, partsOf(key).bytes).update(data).digest(), bytesOf(signature)];
        return expected.length === given.length && timingSafeEqual(expected, given);
      }
      return ask('verify', { ...web(algorithm, key), key: wire(partsOf(key).bytes), data: wire(data), signature: wire(signature) });
    },
    encrypt: crypt(true),
    decrypt: crypt(false),
    async deriveBits(algorithm, key, bits) {
      const secret = partsOf(key).bytes;
      const name = algorithm.name.toUpperCase();
      if (name === 'PBKDF2') return exact(pbkdf2Sync(secret, algorithm.salt, algorithm.iterations, bits / 8, algorithm.hash));
      if (name === 'HKDF') return hkdfSync(algorithm.hash, secret, algorithm.salt, algorithm.info, bits / 8);
      return fail('NotSupportedError', `${algorithm.name} is not available to apps on this server.`);
    },
    async deriveKey(algorithm, key, derived, extractable, usages) {
      return subtle.importKey('raw', await subtle.deriveBits(algorithm, key, derived.length ?? 256), derived, extractable, usages);
    },
  };

  const webcrypto = { subtle, getRandomValues, randomUUID };
  const cryptoModule = {
    ...webcrypto, webcrypto, randomBytes, timingSafeEqual, KeyObject, constants, createHash, createHmac, Hash, Sign, Verify,
    hash: (algorithm, data, encoding = 'hex') => createHash(algorithm).update(data).digest(encoding),
    createSecretKey, createPublicKey, createPrivateKey,
    createSign: (algorithm) => new Sign(algorithm), createVerify: (algorithm) => new Verify(algorithm), sign, verify,
    createCipheriv: (name, key, iv) => new Cipher(true, name, key, iv), createDecipheriv: (name, key, iv) => new Cipher(false, name, key, iv),
    pbkdf2Sync, hkdfSync, pbkdf2: later(pbkdf2Sync), hkdf: later(hkdfSync),
    randomInt(low, high, done) {
      if (high === undefined || typeof high === 'function') [low, high, done] = [0, low, high];
      const drawn = low + Math.floor((randomBytes(6).readUIntBE(0, 6) / 281474976710656) * (high - low));
      if (typeof done === 'function') queueMicrotask(() => done(null, drawn));
      return drawn;
    },
    randomFillSync: (buffer) => getRandomValues(buffer),
    randomFill: (buffer, done) => queueMicrotask(() => done(null, getRandomValues(buffer))),
    getHashes: () => HASHES,
    getCiphers: () => ['aes-128-cbc', 'aes-128-ctr', 'aes-128-gcm', 'aes-256-cbc', 'aes-256-ctr', 'aes-256-gcm'],
    getCurves: () => Object.values(CURVES).map(([, name]) => name),
  };
  for (const name of ['scrypt', 'scryptSync', 'generateKeyPair', 'generateKeyPairSync', 'generateKeySync', 'createECDH', 'createDiffieHellman', 'diffieHellman', 'publicEncrypt', 'privateDecrypt', 'privateEncrypt', 'publicDecrypt']) {
    cryptoModule[name] = () => { throw new Error(`crypto.${name} is not available to apps on this server.`); };
  }
  return { cryptoModule, webcrypto, CryptoKey, bytesOf, exact };
};
