import { createHash } from 'node:crypto'
import { isMac, isUuid, PlatformError } from '@nubo/base'
import type { VmSpec } from './vm-driver.ts'

export const MIB = 2 ** 20
const CPUS_MAX = 64
/** Firmware alone needs a few megabytes. */
const MEMORY_BYTES_MIN = 16 * MIB
const MEMORY_BYTES_MAX = 4 * 2 ** 40
const DISK_BYTES_MAX = 64 * 2 ** 40
const COMMAND_LINE_CHARACTERS_MAX = 2_000
const INTERFACES_MAX = 8
/** RFC 791: what every host must take; below it virtio guests misbehave. */
const MTU_BYTES_MIN = 576
/** Of a tap (65,535 without the Ethernet header). */
const MTU_BYTES_MAX = 65_521

/** Not part of the hash: they are looked at by themselves. */
const UNHASHED: ReadonlySet<string> = new Set(['vmId', 'epoch', 'specHash'])

/** Hash of all that QEMU is started with, whatever the order of keys. 32 hexadecimal digits. */
export function vmSpecHash(spec: Omit<VmSpec, 'vmId' | 'epoch' | 'specHash'>): string {
  const content = Object.entries(spec).filter(([key]) => !UNHASHED.has(key))
  const text = JSON.stringify(sorted(Object.fromEntries(content)))
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

/** The same value with the keys of every object in one order, so that equal values have equal texts. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  )
}

/** Throws INVALID_INPUT naming the field. What passes can be part of paths, of links' names and of QEMU's command line. */
export function checkVmSpec(spec: VmSpec): void {
  checkVmId(spec.vmId)
  check(Number.isSafeInteger(spec.epoch) && spec.epoch >= 0, 'epoch', spec.epoch)
  check(/^[\w.:-]{1,128}$/.test(spec.specHash), 'specHash', spec.specHash)
  check(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(spec.name), 'name', spec.name)
  check(isWithin(spec.cpus, { min: 1, max: CPUS_MAX }), 'cpus', spec.cpus)
  const { memoryBytes } = spec
  check(
    isWithin(memoryBytes, { min: MEMORY_BYTES_MIN, max: MEMORY_BYTES_MAX, step: MIB }),
    'memoryBytes',
    memoryBytes,
  )
  check(
    /^[a-z0-9][\w./:-]{0,299}$/.test(spec.image.repository),
    'image.repository',
    spec.image.repository,
  )
  check(/^sha256:[0-9a-f]{64}$/.test(spec.image.digest), 'image.digest', spec.image.digest)
  checkBoot(spec)
  checkInterfaces(spec)
}

/** The id becomes part of paths: also calls without a specification check it. */
export function checkVmId(vmId: string): void {
  check(isUuid(vmId), 'vmId', vmId)
}

function checkBoot({ boot, rootDisk }: VmSpec): void {
  if (boot.from === 'kernel') {
    const { commandLine } = boot
    // A NUL would end the argument, a line break the reader's patience.
    const isPlain = !commandLine.split('').some((character) => character < ' ')
    check(
      commandLine.length <= COMMAND_LINE_CHARACTERS_MAX && isPlain,
      'boot.commandLine',
      commandLine,
    )
  }
  if (rootDisk === null) return check(boot.from === 'kernel', 'rootDisk', null)
  const { sizeBytes } = rootDisk
  check(
    isWithin(sizeBytes, { min: MIB, max: DISK_BYTES_MAX, step: MIB }),
    'rootDisk.sizeBytes',
    sizeBytes,
  )
}

function checkInterfaces({ interfaces }: VmSpec): void {
  check(interfaces.length <= INTERFACES_MAX, 'interfaces', interfaces.length)
  check(areUnique(interfaces.map((link) => link.hostInterface)), 'interfaces', 'hostInterface')
  check(areUnique(interfaces.map((link) => link.mac)), 'interfaces', 'mac')
  for (const { hostInterface, mac, mtuBytes } of interfaces) {
    // Letters that need no care in a line of `ip -batch`.
    const isLink = /^[a-zA-Z0-9][\w.-]{0,14}$/.test(hostInterface) && hostInterface !== 'lo'
    check(isLink, 'interfaces.hostInterface', hostInterface)
    check(isMac(mac), 'interfaces.mac', mac)
    check(
      isWithin(mtuBytes, { min: MTU_BYTES_MIN, max: MTU_BYTES_MAX }),
      'interfaces.mtuBytes',
      mtuBytes,
    )
  }
}

function isWithin(
  value: number,
  { min, max, step = 1 }: { readonly min: number; readonly max: number; readonly step?: number },
): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max && value % step === 0
}

function areUnique(names: readonly string[]): boolean {
  return new Set(names).size === names.length
}

function check(isValid: boolean, field: string, value: unknown): void {
  if (!isValid) throw new PlatformError('INVALID_INPUT', { field, value })
}
