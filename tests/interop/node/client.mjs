// What the scripts here share: npm's xen-api, connected to the server that the command line names. A script that fails
// ends with code 1 and its error; one that is done calls `tell`.
// usage of a script: node SCRIPT URL USER PASSWORD [TRANSPORT]
import { createClient } from 'xen-api'

const [url, user, password, transport] = process.argv.slice(2)
setTimeout(() => {
  console.error('no answer within 80 s')
  process.exit(1)
}, 80e3).unref()

export const xapi = createClient({
  url,
  auth: { user, password },
  allowUnauthorized: true,
  watchEvents: true,
  ...(transport && { transport }),
})
await xapi.connect()
await xapi.objectsFetched

export const told = {}

export const tell = async () => {
  await xapi.disconnect()
  console.log(JSON.stringify(told))
  process.exit(0)
}

export const read = async response => {
  const parts = []
  for await (const part of response.body ?? response) parts.push(part)
  return Buffer.concat(parts)
}
