/**
 * The datapath with real packets: two hosts with Open vSwitch, guests of two networks with the same addresses and MACs.
 *
 *   host 1: web 10.0.0.5, desk 10.0.0.6 (front)   db 10.0.1.5 (back)      twin of web
 *   host 2: app 10.0.0.7 (front)                  store 10.0.1.9 (back)   twin of app
 */
import assert from 'node:assert/strict'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  compile,
  compileChange,
  diffAgainstSwitch,
  tableNames,
  type FlowProgram,
  type LocalPort,
  type NetworkSlice,
  type SliceNetwork,
} from '@nubo/datapath'
import {
  connectOpenFlow,
  VERSION_14,
  VERSION_15,
  type OpenFlowClient,
  type OpenFlowVersion,
} from '@nubo/wire-openflow'
import { createOvsLab, type Guest, type OvsHost, type OvsLab } from '../support/ovs-lab.ts'

const gateways = { front: '10.0.0.1', back: '10.0.1.1' }
const gatewayMac = '0a:00:00:00:00:fe'

function network(networkId: string, vni: number): SliceNetwork {
  const subnets = [
    { subnetId: `${networkId}-front`, cidr: '10.0.0.0/24', gatewayAddress: gateways.front },
    { subnetId: `${networkId}-back`, cidr: '10.0.1.0/24', gatewayAddress: gateways.back },
  ]
  return {
    networkId,
    vni,
    mtuBytes: 1450,
    subnets: subnets.map((subnet) => ({ ...subnet, gatewayMac })),
  }
}

interface Place extends LocalPort {
  readonly host: 1 | 2
}

function place(host: 1 | 2, ofport: number, portId: string, address: string): Place {
  const networkId = portId.startsWith('twin') ? 'twin' : 'shop'
  const [, , third, last] = address.split('.')
  return {
    host,
    ofport,
    portId,
    networkId,
    subnetId: `${networkId}-${third === '0' ? 'front' : 'back'}`,
    address,
    mac: `0a:00:00:00:0${third}:0${last}`,
  }
}

const places = [
  place(1, 1, 'web', '10.0.0.5'),
  place(1, 2, 'desk', '10.0.0.6'),
  place(1, 3, 'db', '10.0.1.5'),
  place(1, 4, 'twin-web', '10.0.0.5'),
  place(2, 1, 'app', '10.0.0.7'),
  place(2, 2, 'store', '10.0.1.9'),
  place(2, 3, 'twin-app', '10.0.0.7'),
] as const

let lab: OvsLab | undefined
let host1: OvsHost
let host2: OvsHost
const guests = new Map<string, Guest>()

function guest(portId: (typeof places)[number]['portId']): Guest {
  const found = guests.get(portId)
  assert.ok(found, portId)
  return found
}

function sliceOf(number: 1 | 2): NetworkSlice {
  const vtep = number === 1 ? host2.vtep : host1.vtep
  return {
    networks: [network('shop', 5000), network('twin', 5001)],
    localPorts: places.filter(({ host }) => host === number),
    remotePorts: places
      .filter(({ host }) => host !== number)
      .map(({ portId, networkId, subnetId, mac, address }) => {
        return { portId, networkId, subnetId, mac, address, vtep }
      }),
  }
}

/** Both hosts use the same number for their tunnel's port. */
function programOf(number: 1 | 2, round = 1): FlowProgram {
  return compile(sliceOf(number), { ofport: host1.tunnelOfport }, round)
}

/** Runs `work` with a connection to the switch of a host. */
async function onSwitch<Result>(
  host: OvsHost,
  work: (client: OpenFlowClient) => Promise<Result>,
  version: OpenFlowVersion = VERSION_15,
): Promise<Result> {
  const client = await connectOpenFlow(host.openflowSocket, { versions: [version] })
  try {
    return await work(client)
  } finally {
    client.close()
  }
}

before(async () => {
  lab = await createOvsLab(2)
  const [first, second] = lab.hosts
  assert.ok(first && second)
  host1 = first
  host2 = second
  for (const { host, portId, ofport, mac, address } of places) {
    const gateway = address.startsWith('10.0.0.') ? gateways.front : gateways.back
    const options = { ofport, mac, address: `${address}/24`, gateway }
    guests.set(portId, await (host === 1 ? host1 : host2).addGuest(options))
  }
  const first1 = diffAgainstSwitch(programOf(1).flows(), [])
  const first2 = diffAgainstSwitch(programOf(2).flows(), [])
  await onSwitch(host1, (client) => client.applyBundle(first1))
  await onSwitch(host2, (client) => client.applyBundle(first2))
})

after(async () => {
  await lab?.close()
})

test('guests of one subnet reach each other, on one host and across hosts', async () => {
  assert.equal(await guest('web').ping('10.0.0.6'), 3)
  assert.equal(await guest('web').ping('10.0.0.7'), 3)
  assert.equal(await guest('app').ping('10.0.0.5'), 3)
})

test('guests of two subnets reach each other through the gateway, one hop, on one host and across', async () => {
  assert.equal(await guest('web').ping('10.0.1.5'), 3)
  assert.equal(await guest('web').ping('10.0.1.9'), 3)
  assert.equal(await guest('store').ping('10.0.0.6'), 3)
  assert.match(await guest('web').must('ping', '-n', '-c1', '-W1', '10.0.1.9'), /ttl=63/)
  assert.match(await guest('web').must('ping', '-n', '-c1', '-W1', '10.0.0.7'), /ttl=64/)
})

test('every gateway of the network answers pings', async () => {
  for (const address of Object.values(gateways)) {
    assert.equal(await guest('web').ping(address), 3)
    assert.equal(await guest('store').ping(address, ['-s', '1000']), 3)
  }
})

test('the largest packet of the guest passes the tunnel', async () => {
  // 1450 bytes of IP: 20 for its header, 8 for ICMP's.
  assert.equal(await guest('web').ping('10.0.0.7', ['-M', 'do', '-s', '1422']), 3)
  assert.equal(await guest('web').ping('10.0.1.9', ['-s', '4000']), 3)
})

test('ARP is answered by the host: MACs of ports and gateway, silence for unknown addresses', async () => {
  assert.equal(await guest('desk').ping('10.0.0.7'), 3)
  assert.equal(await guest('desk').ping(gateways.front), 3)
  assert.equal(await guest('desk').ping('10.0.0.99', [], 1), 0)
  const neighbours = await guest('desk').must('ip', 'neigh', 'show')
  assert.match(neighbours, /10\.0\.0\.7 .* 0a:00:00:00:00:07/)
  assert.match(neighbours, new RegExp(`10\\.0\\.0\\.1 .* ${gatewayMac}`))
  assert.match(neighbours, /10\.0\.0\.99 .*(INCOMPLETE|FAILED)/)
  assert.doesNotMatch(neighbours, /10\.0\.1\./)
})

test('a packet may take as many hops as it has left: routing is one, bridging and the gateway none', async () => {
  assert.equal(await guest('web').ping('10.0.1.9', ['-t', '1'], 2), 0)
  assert.equal(await guest('web').ping('10.0.1.9', ['-t', '2']), 3)
  assert.equal(await guest('web').ping('10.0.0.7', ['-t', '1']), 3)
  assert.equal(await guest('web').ping(gateways.back, ['-t', '1']), 3)
})

test('a guest that takes another MAC or address is not heard', async () => {
  const desk = guest('desk')
  // The neighbours are known, so that what is tested is the packet and not only its ARP.
  assert.equal(await desk.ping('10.0.0.5'), 3)
  await desk.must('ip', 'addr', 'add', '10.0.0.66/24', 'dev', 'eth0')
  assert.equal(await desk.ping('10.0.0.5', ['-I', '10.0.0.66'], 2), 0)
  await desk.must('ip', 'neigh', 'flush', 'dev', 'eth0')
  assert.equal(await desk.ping('10.0.0.5', ['-I', '10.0.0.66'], 2), 0)
  await desk.must('ip', 'addr', 'del', '10.0.0.66/24', 'dev', 'eth0')
  assert.equal(await desk.ping('10.0.0.5'), 3)

  await desk.must('ip', 'link', 'set', 'eth0', 'address', '0a:00:00:00:00:66')
  assert.equal(await desk.ping('10.0.0.5', [], 2), 0)
  await desk.must('ip', 'link', 'set', 'eth0', 'address', '0a:00:00:00:00:06')
  assert.equal(await desk.ping('10.0.0.5'), 3)
})

test('networks with the same addresses are apart: each reaches its own twin', async () => {
  for (const portId of ['app', 'twin-app'] as const) {
    const folder = await mkdtemp(join(lab?.dir ?? '', 'p'))
    await writeFile(join(folder, 'index.html'), `I am ${portId}`)
    guest(portId).start('busybox', 'httpd', '-f', '-p', '80', '-h', folder)
  }
  const script = `console.log(await (await fetch('http://10.0.0.7/')).text())`
  const get = [process.execPath, '--input-type=module', '-e', script] as const
  await untilListening(guest('app'))
  await untilListening(guest('twin-app'))
  assert.equal(await guest('web').must(...get), 'I am app\n')
  assert.equal(await guest('twin-web').must(...get), 'I am twin-app\n')
  assert.equal(await guest('twin-web').ping('10.0.0.6', [], 1), 0, 'desk has no twin')
  assert.equal(await guest('twin-web').ping('10.0.1.9', [], 1), 0, 'store has no twin')
  assert.equal(await guest('twin-web').ping(gateways.front), 3)
})

async function untilListening(server: Guest): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if ((await server.must('ss', '-ltnH')).includes(':80 ')) return
  }
  assert.fail('the web server does not listen')
}

const fromWeb = 'in_port=1,dl_src=0a:00:00:00:00:05'

/** What ofproto/trace says that the datapath would do. */
async function traced(host: OvsHost, packet: string): Promise<string> {
  return /Datapath actions: (.*)/.exec(await host.trace(packet))?.[1] ?? 'no answer'
}

test('traced: a guest that reaches its own address through the gateway gets its packet', async () => {
  const own = `${fromWeb},dl_dst=${gatewayMac},icmp,nw_src=10.0.0.5,nw_dst=10.0.0.5,nw_ttl=64`
  assert.match(await traced(host1, own), /^set\(.*\),\d+$/)
  assert.equal(await traced(host1, own.replace('nw_ttl=64', 'nw_ttl=1')), 'drop')
})

test('traced: what is not the business of the network ends where it should', async () => {
  const app = 'dl_dst=0a:00:00:00:00:07'
  const dropped: Record<string, { packet: string; at: string }> = {
    'a tagged frame': {
      packet: `${fromWeb},${app},dl_vlan=5,ip,nw_src=10.0.0.5,nw_dst=10.0.0.7`,
      at: 'classify',
    },
    'an unknown port': { packet: `in_port=77,${app},ip`, at: 'classify' },
    'an unknown VNI': { packet: `in_port=100,tun_id=9,${app},ip`, at: 'classify' },
    'ARP out of a tunnel': { packet: `in_port=100,tun_id=5000,${app},arp`, at: 'classify' },
    IPv6: { packet: `${fromWeb},${app},ipv6`, at: 'anti-spoof' },
    'another ethertype': { packet: `${fromWeb},${app},dl_type=0x88cc`, at: 'anti-spoof' },
    'ARP that claims the address of another': {
      packet: `${fromWeb},arp,arp_op=1,arp_sha=0a:00:00:00:00:05,arp_spa=10.0.0.6,arp_tpa=10.0.0.7`,
      at: 'anti-spoof',
    },
    'a question for the own address': {
      packet: `${fromWeb},arp,arp_op=1,arp_sha=0a:00:00:00:00:05,arp_spa=10.0.0.5,arp_tpa=10.0.0.5`,
      at: 'arp',
    },
    'an ARP reply': {
      packet: `${fromWeb},arp,arp_op=2,arp_sha=0a:00:00:00:00:05,arp_spa=10.0.0.5,arp_tpa=10.0.0.7`,
      at: 'arp',
    },
    'a question for an address of another subnet': {
      packet: `${fromWeb},arp,arp_op=1,arp_sha=0a:00:00:00:00:05,arp_spa=10.0.0.5,arp_tpa=10.0.1.9`,
      at: 'arp',
    },
    'TCP to the gateway': {
      packet: `${fromWeb},dl_dst=${gatewayMac},tcp,nw_src=10.0.0.5,nw_dst=10.0.0.1,nw_ttl=64`,
      at: 'gateway',
    },
    'an address outside the network': {
      packet: `${fromWeb},dl_dst=${gatewayMac},ip,nw_src=10.0.0.5,nw_dst=8.8.8.8,nw_ttl=64`,
      at: 'route',
    },
    broadcast: {
      packet: `${fromWeb},dl_dst=ff:ff:ff:ff:ff:ff,udp,nw_src=10.0.0.5,nw_dst=10.0.0.255`,
      at: 'locate',
    },
    multicast: {
      packet: `${fromWeb},dl_dst=01:00:5e:00:00:05,udp,nw_src=10.0.0.5,nw_dst=224.0.0.5`,
      at: 'locate',
    },
    'from a tunnel to another host': {
      packet: `in_port=100,tun_id=5000,${app},ip,nw_src=10.0.1.9,nw_dst=10.0.0.7`,
      at: 'deliver',
    },
  }
  for (const [name, { packet, at }] of Object.entries(dropped)) {
    const trace = await host1.trace(packet)
    assert.match(trace, /Datapath actions: drop/, name)
    const tables = [...trace.matchAll(/^\s*(\d+)\. /gm)].map((found) => Number(found[1]))
    assert.equal(tableNames.get(tables.at(-1) ?? -1), at, `${name}: ${trace}`)
  }
})

test('traced: a packet from the tunnel goes to a port of this host, with its network as VNI', async () => {
  const packet = 'in_port=100,tun_id=5001,dl_dst=0a:00:00:00:00:05,ip,nw_dst=10.0.0.5'
  const trace = await host1.trace(packet)
  assert.match(trace, /output:NXM_NX_REG2\[\]\s+-> output port is 4/, 'port 4 is the twin of web')
  const out = await host1.trace(`${fromWeb},dl_dst=0a:00:00:00:00:07,ip,nw_src=10.0.0.5`)
  assert.match(out, /tun_id=0x1388|vni=0x1388/)
})

for (const version of [VERSION_14, VERSION_15] as const) {
  test(`after a restart nothing is sent for what the switch holds already (wire version ${version})`, async () => {
    const dump = await onSwitch(host1, (client) => client.dumpFlows(), version)
    assert.deepEqual(dump.foreign, [])
    const found = dump.flows.map(({ flow }) => flow)
    const wanted = [...programOf(1, 2).flows()]
    assert.equal(found.length, wanted.length)
    assert.deepEqual(diffAgainstSwitch(wanted, found), [])
  })
}

test('no ping is lost while flows around it change and the agent starts its next round', async () => {
  const program = programOf(1)
  const extra = { networkId: 'shop', subnetId: 'shop-front', vtep: host2.vtep }
  const ping = guest('web').run(
    'ping',
    '-n',
    '-q',
    '-i',
    '0.01',
    '-c',
    '200',
    '-W',
    '2',
    '10.0.1.9',
  )
  await onSwitch(host1, async (client) => {
    for (let i = 0; i < 60; i++) {
      const last = 100 + (i % 10)
      const port = { ...extra, portId: `e${i % 10}`, address: `10.0.0.${last}` }
      const putRemotePorts = [{ ...port, mac: `0a:00:00:00:01:${last - 90}` }]
      const removePorts = [`e${(i + 5) % 10}`]
      await client.applyBundle(compileChange(program, { putRemotePorts, removePorts }))
    }
    const stale = { table: 253, priority: 7, cookie: 0n, match: { inPort: 9 }, actions: [] }
    await client.applyBundle([{ type: 'add', flow: stale }])
    const { flows } = await client.dumpFlows()
    const found = flows.map(({ flow }) => flow)
    const changes = diffAgainstSwitch(programOf(1, 2).flows(), found)
    assert.ok(changes.every(({ type }) => type === 'deleteStrict'))
    await client.applyBundle(changes)
    const after = (await client.dumpFlows()).flows.map(({ flow }) => flow)
    assert.deepEqual(diffAgainstSwitch(programOf(1, 2).flows(), after), [])
  })
  assert.match((await ping).stdout, /200 received/)
})
