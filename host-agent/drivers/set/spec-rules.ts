import { createHash } from 'node:crypto'
import { isMac, parseIpv4, PlatformError } from '@nubo/base'
import type { SetSpec } from './set-driver.ts'

/** The kernel's smallest CPU quota is 1 ms per 100 ms period. */
const CPU_MILLIS_MIN = 10
/** Docker refuses less for a container. */
const MEMORY_BYTES_MIN = 6 * 1024 * 1024
/** Whatever starts a container needs about a dozen threads inside it for a moment. */
const PIDS_MIN = 32
const LOG_BYTES_MIN = 4_096
const CONTAINERS_MAX = 64
const INTERFACES_MAX = 8

/** Not part of the hash: they have labels of their own. */
const UNHASHED: ReadonlySet<string> = new Set(['setId', 'epoch', 'specHash'])

/** Hash of all that makes another set of it, whatever the order of keys. 32 hexadecimal digits. */
export function setSpecHash(spec: Omit<SetSpec, 'setId' | 'epoch' | 'specHash'>): string {
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

/** Throws INVALID_INPUT naming the field. Everything that passes can be written into names, labels and cgroups. */
export function checkSpec(spec: SetSpec): void {
  check(isSetId(spec.setId), 'setId', spec.setId)
  check(Number.isSafeInteger(spec.epoch) && spec.epoch >= 0, 'epoch', spec.epoch)
  check(/^[\w.:-]{1,128}$/.test(spec.specHash), 'specHash', spec.specHash)
  check(
    /^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/.test(spec.hostname),
    'hostname',
    spec.hostname,
  )
  check(spec.cpuMillis >= CPU_MILLIS_MIN, 'cpuMillis', spec.cpuMillis)
  check(spec.memoryBytes >= MEMORY_BYTES_MIN, 'memoryBytes', spec.memoryBytes)
  check(spec.pidsMax >= PIDS_MIN, 'pidsMax', spec.pidsMax)
  check(spec.shmBytes >= 0, 'shmBytes', spec.shmBytes)
  check(spec.containers.length <= CONTAINERS_MAX, 'containers', spec.containers.length)
  check(areUnique(spec.containers.map(({ name }) => name)), 'containers', 'names')
  for (const address of spec.dns ?? []) check(parseIpv4(address) !== undefined, 'dns', address)
  checkContainers(spec)
  checkInterfaces(spec)
}

/** Names of sets and containers become parts of paths and of the engine's names. */
function isSetId(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9-]{0,62}$/.test(text)
}

function isContainerName(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)
}

function checkContainers(spec: SetSpec): void {
  for (const container of spec.containers) {
    const at = `containers.${container.name}`
    check(isContainerName(container.name), 'containers.name', container.name)
    check(
      /^[a-z0-9][\w./:-]{0,299}$/.test(container.image.repository),
      `${at}.image.repository`,
      container.image.repository,
    )
    check(
      /^sha256:[0-9a-f]{64}$/.test(container.image.digest),
      `${at}.image.digest`,
      container.image.digest,
    )
    const { cpuMillis, memoryBytes } = container
    // The kernel refuses a quota above the parent's only when the container starts; here the field has a name.
    check(
      cpuMillis === null || (cpuMillis >= CPU_MILLIS_MIN && cpuMillis <= spec.cpuMillis),
      `${at}.cpuMillis`,
      cpuMillis,
    )
    check(
      memoryBytes === null || (memoryBytes >= MEMORY_BYTES_MIN && memoryBytes <= spec.memoryBytes),
      `${at}.memoryBytes`,
      memoryBytes,
    )
    check(container.logBytesMax >= LOG_BYTES_MIN, `${at}.logBytesMax`, container.logBytesMax)
    for (const name of Object.keys(container.env)) {
      check(/^[^=\0]+$/.test(name), `${at}.env`, name)
    }
  }
}

function checkInterfaces(spec: SetSpec): void {
  check(spec.interfaces.length <= INTERFACES_MAX, 'interfaces', spec.interfaces.length)
  check(areUnique(spec.interfaces.map(({ name }) => name)), 'interfaces', 'names')
  for (const link of spec.interfaces) {
    check(isLinkName(link.name) && link.name !== 'lo', 'interfaces.name', link.name)
    check(isLinkName(link.hostInterface), 'interfaces.hostInterface', link.hostInterface)
    check(isMac(link.mac), 'interfaces.mac', link.mac)
    const [address = '', prefix = ''] = link.addressWithPrefix.split('/')
    check(
      parseIpv4(address) !== undefined && /^\d{1,2}$/.test(prefix) && Number(prefix) <= 32,
      'interfaces.addressWithPrefix',
      link.addressWithPrefix,
    )
    check(parseIpv4(link.gateway) !== undefined, 'interfaces.gateway', link.gateway)
    check(
      Number.isSafeInteger(link.mtu) && link.mtu >= 576 && link.mtu <= 65_535,
      'interfaces.mtu',
      link.mtu,
    )
  }
}

/** Letters that need no care in a line of `ip -batch`. */
function isLinkName(text: string): boolean {
  return /^[a-zA-Z0-9][\w.-]{0,14}$/.test(text)
}

function areUnique(names: readonly string[]): boolean {
  return new Set(names).size === names.length
}

function check(isValid: boolean, field: string, value: unknown): void {
  if (!isValid) throw new PlatformError('INVALID_INPUT', { field, value })
}
