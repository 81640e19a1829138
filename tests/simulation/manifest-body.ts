import { MANIFEST_NAMES, type ManifestDraw, type SetShape } from './action.ts'
import { hostName } from './plan.ts'

const MEBIBYTE = 2 ** 20
const CPU_MILLIS = 200

/** A set as it is asked for, without where it is attached. */
export function shapeBody(name: string, shape: SetShape) {
  return {
    name,
    recovery: shape.recovery,
    priority: shape.priority,
    containers: Array.from({ length: shape.containers }, (_none, index) => ({
      name: `c${index}`,
      index,
      image: shape.image,
    })),
    cpuMillis: CPU_MILLIS,
    memoryBytes: shape.memoryMib * MEBIBYTE,
    ...(shape.pinnedTo === undefined ? {} : { placement: { host: hostName(shape.pinnedTo) } }),
  }
}

export type ManifestBody = ReturnType<typeof manifestBody>

/** What is applied for a drawn manifest. Its network, subnets and ports are its own, so manifests share nothing but sets. */
export function manifestBody(draw: ManifestDraw) {
  const { name } = draw
  const network = `net-${name}`
  const range = name === 'shop' ? '10.2' : '10.3'
  const subnetName = (at: number): string => `sub-${at}`
  const subnets = Array.from({ length: draw.subnets }, (_none, at) => ({
    name: subnetName(at),
    network,
    cidr: `${range}.${at}.0/24`,
  }))
  const ports = draw.sets
    .filter(({ hasPort }) => hasPort)
    .map((set) => ({ name: `${set.name}-port`, network, subnet: subnetName(set.subnet) }))
  const sets = draw.sets.map((set, at) => {
    const before = draw.sets[at - 1]
    return {
      network,
      ...(set.hasPort ? { port: `${set.name}-port` } : { subnet: subnetName(set.subnet) }),
      after: set.isAfter && before !== undefined ? [before.name] : [],
      ...shapeBody(set.name, set),
    }
  })
  if (draw.isEmpty) return { name, networks: [], subnets: [], ports: [], sets: [] }
  return { name, networks: [{ name: network, cidr: `${range}.0.0/16` }], subnets, ports, sets }
}

/** All sets that a manifest of this name may ever describe. */
export function namesOf(manifest: ManifestDraw['name']): readonly string[] {
  return MANIFEST_NAMES[manifest]
}
