import type {
  WantedContainer,
  WantedItem,
  WantedNetwork,
  WantedPort,
  WantedSet,
  WantedUpdate,
} from '@nubo/contracts/host'

/** Ids that differ in their number only. */
export function testId(
  kind: 'set' | 'network' | 'subnet' | 'port' | 'host',
  number: number,
): string {
  const kinds = { set: 1, network: 2, subnet: 3, port: 4, host: 5 }
  return `0190a000-000${kinds[kind]}-7000-8000-${number.toString(16).padStart(12, '0')}`
}

export const testImage = { repository: 'library/web', digest: `sha256:${'a'.repeat(64)}` }

export function testContainer(change: Partial<WantedContainer> = {}): WantedContainer {
  return {
    name: 'main',
    index: 0,
    image: testImage,
    command: null,
    env: {},
    cpuMillis: null,
    memoryBytes: null,
    healthCheck: null,
    restart: { policy: 'always', backoffMaxMs: 30_000 },
    stopTimeoutMs: 1_000,
    ...change,
  }
}

export function testSet(change: Partial<WantedSet> = {}): WantedSet {
  return {
    kind: 'set',
    id: testId('set', 1),
    projectId: testId('host', 9),
    name: 'web',
    generation: 1,
    epoch: 1,
    run: 'running',
    restartCount: 0,
    recovery: 'local',
    cpuMillis: 500,
    memoryBytes: 64 * 2 ** 20,
    containers: [testContainer()],
    portIds: [],
    ...change,
  }
}

export function testNetwork(number = 1, change: Partial<WantedNetwork> = {}): WantedNetwork {
  return {
    kind: 'network',
    id: testId('network', number),
    vni: 5_000 + number,
    mtuBytes: 1_450,
    subnets: [
      {
        id: testId('subnet', number),
        cidr: '10.0.0.0/24',
        gatewayAddress: '10.0.0.1',
        gatewayMac: '0a:00:00:00:00:01',
      },
    ],
    ...change,
  }
}

/** Port `number` of network 1 has the address 10.0.0.<10 + number>. */
export function testPort(number: number, at: WantedPort['at']): WantedPort {
  return {
    kind: 'port',
    id: testId('port', number),
    networkId: testId('network', 1),
    subnetId: testId('subnet', 1),
    mac: `0a:00:00:00:01:${number.toString(16).padStart(2, '0')}`,
    address: `10.0.0.${10 + number}`,
    at,
  }
}

/** A set with one port, the network that it is in, and the port. */
export function testSetWithPort(number: number, change: Partial<WantedSet> = {}): WantedItem[] {
  const id = testId('set', number)
  const port = testPort(number, { on: 'set', setId: id })
  return [testNetwork(), port, testSet({ id, portIds: [port.id], ...change })]
}

export function testUpdate(
  revision: number,
  upserts: WantedItem[],
  change: Partial<WantedUpdate> = {},
): WantedUpdate {
  return { type: 'wanted', revision, full: false, last: true, upserts, removes: [], ...change }
}
