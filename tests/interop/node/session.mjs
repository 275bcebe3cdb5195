// Drives a server with npm's xen-api and prints what it saw as JSON.
// usage: node session.mjs URL USER PASSWORD json-rpc|xml-rpc
import { tell, told, xapi } from './client.mjs'

const transport = process.argv[5]

const all = () => Object.values(xapi.objects.all)
const guests = all().filter(o => o.$type === 'VM' && !o.is_a_template && !o.is_control_domain && !o.is_a_snapshot)
told.pool = xapi.pool.name_label
told.vms = guests.length
told.methods = await xapi.call('system.listMethods').catch(() => [])

const vm = guests.find(o => o.name_label === 'db-2')
await xapi.call('VM.start', vm.$ref, false, false)
told.after_start = (await xapi.barrier(vm.$ref)).power_state
told.error = await xapi.call('VM.start', vm.$ref, false, false).then(
  () => [],
  error => [error.code, ...error.params.slice(1)]
)
const taskRef = await xapi.call('Async.VM.hard_shutdown', vm.$ref)
await xapi.watchTask(taskRef)
told.task = 'success'
told.after_shutdown = (await xapi.barrier(vm.$ref)).power_state
await xapi.setFieldEntry('VM', vm.$ref, 'other_config', 'seen-by', transport)
told.barrier = (await xapi.barrier(vm.$ref)).other_config['seen-by'] === transport
await xapi.setFieldEntry('VM', vm.$ref, 'other_config', 'seen-by', null)
await tell()
