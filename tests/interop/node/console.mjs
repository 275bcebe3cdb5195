// Opens the console of a VM in the WebSocket of Node (as a browser would) and through CONNECT (as Xen Orchestra's
// server does); prints what it was greeted with as JSON. usage: node console.mjs LOCATION SESSION
import { connect } from 'node:tls'
import { Buffer } from 'node:buffer'
import { Agent, WebSocket } from 'undici'

const [location, session] = process.argv.slice(2)
const url = new URL(location)
const told = {}
setTimeout(() => { console.error('no answer within 60 s'); process.exit(1) }, 60e3).unref()

const path = `${url.pathname}${url.search}`
told.connect = await new Promise((resolve, reject) => {
  const socket = connect({ host: url.hostname, port: url.port || 443, rejectUnauthorized: false }, () => {
    socket.write([`CONNECT ${path} HTTP/1.0`, `Host: ${url.hostname}`, `Cookie: session_id=${session}`, '', ''].join('\r\n'))
  })
  let got = Buffer.alloc(0)
  socket.on('error', reject)
  socket.on('data', data => {
    got = Buffer.concat([got, data])
    const end = got.indexOf('\r\n\r\n')
    if (end >= 0 && got.length >= end + 16) {
      resolve([got.subarray(0, got.indexOf('\r\n')).toString(), got.subarray(end + 4).toString()])
      socket.destroy()
    }
  })
})
told.websocket = await new Promise((resolve, reject) => {
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } })
  const address = `wss://${url.host}${path}&session_id=${encodeURIComponent(session)}`
  const socket = new WebSocket(address, { protocols: ['binary'], dispatcher })
  socket.binaryType = 'arraybuffer'
  let got = Buffer.alloc(0)
  socket.onerror = event => reject(event.error ?? new Error('no connection'))
  socket.onmessage = ({ data }) => {
    got = Buffer.concat([got, Buffer.from(data)])
    if (got.length === 12) socket.send(got)
    if (got.length === 14) socket.send(Buffer.from([1]))
    if (got.length === 18) socket.send(Buffer.from([1]))
    if (got.length > 42 && got.length === 42 + got.readUInt32BE(38)) {
      resolve([socket.protocol, got.subarray(42).toString()])
      socket.close()
    }
  }
})
console.log(JSON.stringify(told))
process.exit(0)
