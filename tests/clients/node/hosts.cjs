// Leads the vendor's host names to the demo, as /etc/hosts and port 443 would: preloaded with `node --require`. The client itself is
// unmodified, and so is TLS: the demo's certificate has these names.
const net = require('node:net');

const [host, port] = process.env.PORTCULLIS_ADDRESS.split(':');
const VENDOR = /(^|\.)(atlassian\.com|atlassian\.net)$/;
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...args) {
  const list = Array.isArray(args[0]) ? args[0] : args; // already normalised by net.connect
  const options = list[0];
  if (options && typeof options === 'object' && VENDOR.test(options.host ?? '')) {
    list[0] = { ...options, host, port: Number(port), servername: options.servername ?? options.host };
  }
  return connect.apply(this, args);
};
