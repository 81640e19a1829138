import { MIB } from '../spec-rules.ts'
import type { Accelerator, VmSpec } from '../vm-driver.ts'

/** Names that later work on a running VM goes by (hot-plug, limits, snapshots). Never changed: a QEMU outlives its agent. */
export const ROOT_NODE = 'root'
export const ROOT_LIMITS = 'root-limits'
/** Empty PCIe slots for what is plugged in while the guest runs; `sparePort(0)` is the first. */
const SPARE_PORTS = 8
export function sparePort(number: number): string {
  return `spare${number}`
}

/** Live growth ends here: four times what the VM began with, but room for a few processors and gigabytes in any case. */
const GROWTH = 4
const CPUS_MAX = 64
const CPUS_ROOM_MIN = 8
const MEMORY_ROOM_MIN_BYTES = 16 * 2 ** 30
/** A qemu64 processor has 40 bits of physical addresses; half of them are left for devices. */
const MEMORY_ROOM_MAX_BYTES = 512 * 2 ** 30
const MEMORY_SLOTS = 8
/**
 * Translated code that QEMU keeps per VM. Its default is an eighth of the host's memory up to 1 GiB, which would be the
 * largest part of a small VM.
 */
export const TRANSLATION_BYTES = 128 * MIB
/** The I/O port at which kernels (and our tests) look for a panic device first. */
const PANIC_PORT = 0x505

export interface MachineFiles {
  /** Unix sockets that QEMU makes. */
  readonly qmpSocket: string
  readonly serialSocket: string
  readonly disk: {
    readonly path: string
    /** The image that it lies over; null: it stands alone. */
    readonly basePath: string | null
  } | null
  readonly kernel: { readonly path: string; readonly initrdPath: string | null } | null
}

/**
 * QEMU's arguments for a VM, without the program. The processors stand still (`-S`) until `cont`, so that everything is in
 * place before the guest's first instruction. After a shutdown QEMU stays, with the state `shutdown`: only so an agent that
 * was away meanwhile can tell it from a crash.
 */
export function machineArgv(
  spec: VmSpec,
  files: MachineFiles,
  accelerator: Accelerator,
): readonly string[] {
  return [
    '-nodefaults',
    '-no-user-config',
    '-S',
    ...option('-display', 'none'),
    ...option('-name', `guest=${spec.name},debug-threads=on`),
    ...option('-uuid', spec.vmId),
    ...option(
      '-sandbox',
      'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    ),
    ...option('-action', 'reboot=reset,shutdown=pause,panic=pause'),
    ...option('-rtc', 'base=utc'),
    ...processorArgv(spec, accelerator),
    ...memoryArgv(spec),
    ...monitorArgv(files),
    ...portArgv(),
    ...device({ driver: 'pvpanic', ioport: PANIC_PORT }),
    ...object({ 'qom-type': 'rng-builtin', id: 'rng' }),
    ...device({ driver: 'virtio-rng-pci', rng: 'rng', ...at(2) }),
    ...diskArgv(files),
    ...spec.interfaces.flatMap((link, index) => linkArgv(link, index)),
    ...kernelArgv(spec, files.kernel),
  ]
}

function processorArgv({ cpus }: VmSpec, accelerator: Accelerator): string[] {
  const cpusMax = Math.max(cpus, Math.min(CPUS_MAX, Math.max(CPUS_ROOM_MIN, cpus * GROWTH)))
  return [
    // Guests' memory stays out of core files. `graphics` stays on although there is no display: without it the firmware
    // takes over the serial port and eats what is typed there.
    ...option('-machine', 'q35,memory-backend=ram,dump-guest-core=off,usb=off'),
    ...(accelerator === 'kvm'
      ? [...option('-accel', 'kvm'), ...option('-cpu', 'host')]
      : [
          ...option('-accel', `tcg,thread=multi,tb-size=${TRANSLATION_BYTES / MIB}`),
          ...option('-cpu', 'qemu64'),
        ]),
    ...option('-smp', `cpus=${cpus},maxcpus=${cpusMax},sockets=${cpusMax},cores=1,threads=1`),
  ]
}

/** Memory that can be shared with another process (vhost-user, migration), and slots for more of it. */
function memoryArgv({ memoryBytes }: VmSpec): string[] {
  const roomBytes = Math.min(
    MEMORY_ROOM_MAX_BYTES,
    Math.max(MEMORY_ROOM_MIN_BYTES, memoryBytes * GROWTH),
  )
  const size = `size=${memoryBytes / MIB}M`
  // QEMU refuses slots for which there is no room.
  const isGrowing = roomBytes > memoryBytes
  return [
    ...option(
      '-m',
      isGrowing ? `${size},slots=${MEMORY_SLOTS},maxmem=${Math.floor(roomBytes / MIB)}M` : size,
    ),
    ...object({ 'qom-type': 'memory-backend-memfd', id: 'ram', size: memoryBytes, share: true }),
  ]
}

function monitorArgv({ qmpSocket, serialSocket }: MachineFiles): string[] {
  return [
    ...option('-chardev', `socket,id=qmp,path=${qmpSocket},server=on,wait=off`),
    ...option('-mon', 'chardev=qmp,mode=control'),
    ...option('-chardev', `socket,id=serial,path=${serialSocket},server=on,wait=off`),
    ...device({ driver: 'isa-serial', chardev: 'serial', index: 0 }),
  ]
}

/** All of them functions of one PCI slot, which leaves the others to devices. */
function portArgv(): string[] {
  return Array.from({ length: SPARE_PORTS }, (_none, index) =>
    device({
      driver: 'pcie-root-port',
      id: sparePort(index),
      chassis: index + 1,
      slot: index + 1,
      bus: 'pcie.0',
      addr: `0x1.${index}`,
      multifunction: index === 0,
    }),
  ).flat()
}

/**
 * The chain is spelled out to its end: a guest can write any qcow2 header into a raw file, and an escaped QEMU into its
 * overlay, but no header decides which files of the host are opened.
 */
function diskArgv({ disk, kernel }: MachineFiles): string[] {
  if (disk === null) return []
  const discard = 'unmap'
  const base =
    disk.basePath === null
      ? []
      : blockdev({
          driver: 'qcow2',
          'node-name': 'root-base',
          'read-only': true,
          backing: null,
          file: { driver: 'file', 'node-name': 'root-base-file', filename: disk.basePath },
        })
  return [
    ...base,
    ...object({ 'qom-type': 'throttle-group', id: ROOT_LIMITS }),
    ...blockdev({
      driver: 'throttle',
      'node-name': ROOT_NODE,
      'throttle-group': ROOT_LIMITS,
      file: {
        driver: 'qcow2',
        'node-name': 'root-format',
        discard,
        backing: disk.basePath === null ? null : 'root-base',
        file: { driver: 'file', 'node-name': 'root-file', discard, filename: disk.path },
      },
    }),
    ...device({
      driver: 'virtio-blk-pci',
      id: 'disk0',
      drive: ROOT_NODE,
      // A kernel that is given takes the first place for itself.
      ...(kernel === null ? { bootindex: 0 } : {}),
      ...at(3),
    }),
  ]
}

function linkArgv(link: VmSpec['interfaces'][number], index: number): string[] {
  const id = `net${index}`
  const tap = { type: 'tap', id, ifname: link.hostInterface, script: 'no', downscript: 'no' }
  return [
    ...option('-netdev', JSON.stringify(tap)),
    ...device({
      driver: 'virtio-net-pci',
      id: `nic${index}`,
      netdev: id,
      mac: link.mac,
      host_mtu: link.mtuBytes,
      // No option ROM: such a VM does not boot from its network.
      romfile: '',
      ...at(8 + index),
    }),
  ]
}

function kernelArgv({ boot }: VmSpec, kernel: MachineFiles['kernel']): string[] {
  if (kernel === null || boot.from !== 'kernel') return []
  return [
    ...option('-kernel', kernel.path),
    ...(kernel.initrdPath === null ? [] : option('-initrd', kernel.initrdPath)),
    ...option('-append', boot.commandLine),
  ]
}

/** Fixed, so that a guest finds its devices where they were, also on another host. */
function at(slot: number): { readonly bus: string; readonly addr: string } {
  return { bus: 'pcie.0', addr: `0x${slot.toString(16)}` }
}

function option(name: string, value: string): string[] {
  return [name, value]
}

type Options = Readonly<Record<string, unknown>>

// In JSON a path may hold any character; in QEMU's own form `,` and `=` would begin another option.
function device(options: Options): string[] {
  return ['-device', JSON.stringify(options)]
}
function object(options: Options): string[] {
  return ['-object', JSON.stringify(options)]
}
function blockdev(options: Options): string[] {
  return ['-blockdev', JSON.stringify(options)]
}
