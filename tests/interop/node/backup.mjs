// Backs a VM up and restores it with npm's xen-api, call for call as Xen Orchestra does, and prints what it saw as JSON.
// usage: node backup.mjs URL USER PASSWORD
import { read, tell, told, xapi } from './client.mjs'

const disks = async vm => {
  const vbds = await xapi.getRecords('VBD', await xapi.getField('VM', vm, 'VBDs'))
  return vbds.filter(vbd => vbd.type === 'Disk').map(vbd => vbd.VDI)
}
const exported = async (vdi, query) =>
  read(
    await xapi.getResource('/export_raw_vdi/', {
      query: { vdi, ...query },
      task: await xapi.createTask('[XO] Exporting content of VDI'),
    })
  )
const imported = async (vdi, content, format) =>
  xapi.putResource(content, '/import_raw_vdi/', {
    query: { format, vdi },
    task: await xapi.createTask('[XO] Importing content into VDI'),
  })

const SR = xapi.pool.default_SR
const network = Object.values(xapi.objects.all).find(o => o.$type === 'network')
const size = 4 << 20

// A VM with a disk to save and one to leave out. Fields without a value do not travel in JSON.
const vm = await xapi.call('VM.create', {
  name_label: 'backed up', name_description: undefined, user_version: 1, is_a_template: false, affinity: '',
  memory_static_max: 1 << 29, memory_static_min: 1 << 29, memory_dynamic_max: 1 << 29, memory_dynamic_min: 1 << 29,
  VCPUs_max: 1, VCPUs_at_startup: 1, VCPUs_params: {}, actions_after_shutdown: 'destroy',
  actions_after_reboot: 'restart', actions_after_crash: 'restart', HVM_boot_policy: 'BIOS order',
  HVM_boot_params: { order: 'cdn' }, PV_args: '', PV_bootloader: '', PV_bootloader_args: '', PV_kernel: '',
  PV_legacy_args: '', PV_ramdisk: '', PCI_bus: '', platform: {}, recommendations: '', other_config: {},
  suspend_VDI: undefined, power_state: undefined, HVM_shadow_multiplier: undefined,
})
for (const [userdevice, name_label] of ['data', '[NOBAK] scratch'].entries()) {
  const VDI = await xapi.call('VDI.create', {
    name_label, SR, virtual_size: size, type: 'user', sharable: false, read_only: false, other_config: {},
    sm_config: undefined, tags: undefined,
  })
  await xapi.call('VBD.create', {
    VM: vm, VDI, userdevice: String(userdevice), bootable: userdevice === 0, mode: 'RW', type: 'Disk', empty: false,
    unpluggable: false, other_config: {}, qos_algorithm_params: {}, qos_algorithm_type: '', device: undefined,
  })
}
const [device] = await xapi.call('VM.get_allowed_VIF_devices', vm)
await xapi.call('VIF.create', {
  VM: vm, network: network.$ref, device, MAC: '', MTU: network.MTU, other_config: {}, qos_algorithm_params: {},
  qos_algorithm_type: '', locking_mode: undefined, currently_attached: undefined,
})
const [data, scratch] = await disks(vm)
const content = Buffer.alloc(size)
content.fill('first', 0, 1 << 20)
await imported(data, content, 'raw')
await xapi.callAsync('VDI.enable_cbt', data)

// Two rolling snapshots without the marked disk; snapshots stop being templates.
const take = async name => {
  const snapshot = await xapi.callAsync('VM.snapshot', vm, name, [scratch])
  await xapi.setField('VM', snapshot, 'is_a_template', false)
  return snapshot
}
const first = await take('[XO] first')
content.fill('later', 3 << 20)
await imported(data, content, 'raw')
const second = await take('[XO] second')
const record = await xapi.barrier(second)
told.snapshot = [record.is_a_snapshot, record.is_a_template, record.snapshot_of === vm, record.power_state]
const [base] = await disks(first)
const newer = await disks(second)
told.saved = newer.length

// A full and a delta; then the first snapshot shrinks to its list of changed blocks.
const full = await exported(base, { format: 'vhd' })
const delta = await exported(newer[0], { format: 'vhd', base })
told.blocks = [full, delta].map(image => image.length >> 21)
await xapi.callAsync('VM.destroy', first)
await xapi.callAsync('VDI.data_destroy', base)
const changed = Buffer.from(await xapi.callAsync('VDI.list_changed_blocks', base, newer[0]), 'base64')
told.type = await xapi.getField('VDI', base, 'type')
told.changed = [...changed].map(byte => byte.toString(2).padStart(8, '0')).join('')

// Restore: the chain into a new disk, and the whole VM from an archive.
const restored = await xapi.call('VDI.create', {
  name_label: 'restored', SR, virtual_size: size, type: 'user', sharable: false, read_only: false, other_config: {},
})
await imported(restored, full, 'vhd')
await imported(restored, delta, 'vhd')
told.restored = (await exported(restored, { format: 'raw' })).equals(content)
const archive = await read(
  await xapi.getResource('/export/', {
    query: { ref: second, use_compression: 'true' },
    task: await xapi.createTask('[XO] VM export'),
  })
)
const [copy] = await xapi.putResource(archive, '/import/', {
  query: { sr_id: SR },
  task: await xapi.createTask('[XO] VM import'),
})
const back = await xapi.getRecord('VM', copy)
told.copy = [back.name_label, back.power_state, back.is_a_template, back.VIFs.length]
told.same = (await exported((await disks(copy))[0], { format: 'raw' })).equals(content)

// Health check: without network, started where it was restored, then gone with its disks.
for (const vif of back.VIFs) await xapi.call('VIF.destroy', vif)
await xapi.callAsync('VM.start_on', copy, xapi.pool.master, false, false)
told.health = await xapi.getField('VM', copy, 'power_state')
await xapi.callAsync('VM.hard_shutdown', copy)
for (const ref of [copy, second, vm]) {
  const own = await disks(ref)
  await xapi.callAsync('VM.destroy', ref)
  for (const vdi of own) await xapi.callAsync('VDI.destroy', vdi)
}
told.pool = xapi.pool.restrictions.restrict_vtpm
await tell()
