// Merges a differencing VHD into its parent as Xen Orchestra's backups do, with their npm package vhd-lib.
// usage: node merge.mjs PARENT CHILD
import { promises as fs } from 'node:fs'
import vhdLib from 'vhd-lib'

const [parent, child] = process.argv.slice(2)

// What vhd-lib wants of a file store, on local files; its writes may follow each other without waiting.
const store = {
  openFile: (path, flags) => fs.open(path, flags),
  closeFile: file => file.close(),
  getSize: async file => (await file.stat()).size,
  read: async (file, buffer, position) => {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position)
    return { bytesRead, buffer }
  },
  write: async (file, buffer, position) => {
    await file.write(buffer, 0, buffer.length, position)
  },
}

const file = await fs.open(child, 'r')
const vhd = new vhdLib.default(store, file)
await vhd.readHeaderAndFooter()
const told = { type: vhd.footer.diskType, parent: vhd.header.parentUuid.toString('hex'), name: vhd.header.parentUnicodeName }
await file.close()
told.merged = await vhdLib.mergeVhd(store, parent, store, child)
console.log(JSON.stringify(told))
