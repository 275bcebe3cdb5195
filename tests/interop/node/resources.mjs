// Moves disks and VMs with npm's xen-api and prints what it saw as JSON.
// usage: node resources.mjs URL USER PASSWORD
import { Readable } from 'node:stream'
import { read, tell, told, xapi } from './client.mjs'

const sr = Object.values(xapi.objects.all).find(o => o.$type === 'SR' && o.content_type !== 'iso')
const disk = await xapi.call('VDI.create', {
  name_label: 'from node', SR: sr.$ref, virtual_size: 4 << 20, type: 'user', sharable: false, read_only: false,
  other_config: {},
})
const data = Buffer.alloc(3 << 20, 'node')
const stream = Readable.from([data.subarray(0, 1 << 20), data.subarray(1 << 20)])
stream.length = data.length
await xapi.putResource(stream, '/import_raw_vdi', {
  query: { vdi: disk, format: 'raw' }, task: await xapi.call('task.create', 'import from node', ''),
})
const back = await read(await xapi.getResource('/export_raw_vdi', { query: { vdi: disk, format: 'raw' } }))
told.length = back.length
told.same = back.subarray(0, data.length).equals(data)

// A stream whose length nobody knows: the client names 1 PiB, and leaves when it has sent everything. It drops what it
// has not sent yet if the stream ended before the reply began, so this stream ends after that.
const task = await xapi.call('task.create', 'import without a length', '')
const endless = Readable.from((async function* () {
  yield Buffer.alloc(1 << 20, 'more')
  yield Buffer.alloc(5 << 19, 'data')
  for (let n = 0; n < 400 && (await xapi.call('task.get_progress', task)) === 0; n++) {
    await new Promise(resolve => setTimeout(resolve, 50)) // the reply begins before the server writes
  }
  await xapi.call('task.get_status', task) // and what has arrived is read in this round
})())
await xapi.putResource(endless, '/import_raw_vdi', { query: { vdi: disk, format: 'raw' }, task })
for (let n = 0; n < 400 && (await xapi.call('task.get_status', task)) === 'pending'; n++) {
  await new Promise(resolve => setTimeout(resolve, 50)) // such an upload is answered at once: its task tells the end
}
const again = await read(await xapi.getResource('/export_raw_vdi', { query: { vdi: disk, format: 'raw' } }))
const end = 7 << 19
told.endless = [again.length, again.subarray(0, 4).toString(), again.subarray(end - 4, end).toString(), again[end]]

const vm = Object.values(xapi.objects.all).find(
  o => o.$type === 'VM' && o.power_state === 'Halted' && !o.is_a_template && !o.is_a_snapshot
)
const archive = await read(await xapi.getResource('/export', { query: { ref: vm.$ref }, task: true }))
const result = await xapi.putResource(archive, '/import', { task: true })
told.result = result
told.name = vm.name_label
told.refused = await xapi
  .putResource(archive.subarray(0, archive.length >> 1), '/import', { task: true })
  .then(() => [], error => [error.response?.statusCode])
await tell()
