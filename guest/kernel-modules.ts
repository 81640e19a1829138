/** A module as its file says it. */
export interface KernelModule {
  readonly name: string
  readonly needs: readonly string[]
}

/**
 * What the test guest loads beside what its kernel has built in: the devices that a virtual machine can have, the power button (with
 * evdev it tells acpid), and the device by which a panic is told to QEMU.
 */
export const wantedModules: readonly string[] =
  `virtio_pci virtio_mmio virtio_blk virtio_net virtio-rng virtio_balloon virtio_mem virtio_console
  virtio_scsi sd_mod button evdev pvpanic-pci`.split(/\s+/)

/** `virtio-rng` and `virtio_rng` are one module: files are named as they like, the kernel says `_`. */
export function moduleName(text: string): string {
  return text.replaceAll('-', '_')
}

/** Reads `depends=` out of a module's section .modinfo, which is texts that end in NUL. */
export function readNeeds(module: Uint8Array): string[] {
  const text = Buffer.from(module.buffer, module.byteOffset, module.byteLength).toString('latin1')
  const found = /\0depends=([^\0]*)\0/.exec(text)
  if (found === null)
    throw new RangeError('not a kernel module: it does not say what it depends on')
  return (found[1] ?? '')
    .split(',')
    .filter((name) => name !== '')
    .map(moduleName)
}

/**
 * The modules to load, each after what it needs. `find` gives a module, or `builtin` if the kernel has it in itself. Throws
 * RangeError if there is neither.
 */
export function loadOrder(
  wanted: readonly string[],
  find: (name: string) => KernelModule | 'builtin' | undefined,
): string[] {
  const order = new Set<string>()
  const visit = (name: string, neededBy: readonly string[]): void => {
    if (order.has(name)) return
    if (neededBy.includes(name)) throw new RangeError(`${name} needs itself`)
    const found = find(name)
    if (found === undefined)
      throw new RangeError(`the kernel has no module ${[name, ...neededBy].join(', needed by ')}`)
    if (found === 'builtin') return
    for (const need of found.needs) visit(need, [name, ...neededBy])
    order.add(name)
  }
  for (const name of wanted) visit(moduleName(name), [])
  return [...order]
}
