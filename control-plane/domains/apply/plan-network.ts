import type { Manifest } from '@nubo/contracts'
import { instanceOf, instancesBy } from '../../world/index.ts'
import { checkGuestAddress, checkNetworkRange, checkSubnetRange } from '../network/index.ts'
import {
  differences,
  holdersOf,
  isDeclared,
  mayChange,
  missing,
  networkRow,
  ownerKey,
  subnetMeant,
  subnetsOf,
  type PlanContext,
  type Thing,
} from './plan-context.ts'

export function planNetwork(context: PlanContext, asked: Manifest['networks'][number]): void {
  const { draft } = context
  const at: Thing = { kind: 'network', name: asked.name }
  const now = networkRow(context, asked.name)
  draft.see(at, now === undefined ? null : [now.id, ownerKey(context, now.id)])
  const fields = differences('network', [['cidr', now?.cidr ?? null, asked.cidr]])
  if (now === undefined) {
    draft.attempt(at, 'cidr', () => checkNetworkRange(asked.cidr))
    draft.change({ ...at, action: 'create', fields })
    draft.step({ ...at, action: 'create' }, { body: { asked } })
    return
  }
  if (!mayChange(context, at, { id: now.id, fields })) return
  for (const field of fields)
    draft.fixedField(at, field, 'keep the range, or give the new network another name')
}

export function planSubnet(context: PlanContext, asked: Manifest['subnets'][number]): void {
  const { draft, world } = context
  const at: Thing = { kind: 'subnet', name: `${asked.network}/${asked.name}` }
  const network = networkRow(context, asked.network)
  const declared = context.manifest.networks.find(({ name }) => name === asked.network)
  const now =
    network && world.subnet.by('network', network.id).find(({ name }) => name === asked.name)
  draft.see(at, now === undefined ? null : [now.id, ownerKey(context, now.id)])
  const fields = differences('subnet', [['cidr', now?.cidr ?? null, asked.cidr]])
  if (now !== undefined) {
    if (!mayChange(context, at, { id: now.id, fields })) return
    for (const field of fields)
      draft.fixedField(at, field, 'keep the range, or give the new subnet another name')
    return
  }
  const range = network?.cidr ?? declared?.cidr
  if (range === undefined) {
    missing(context, at, { kind: 'network', name: asked.network, field: 'network' })
    return
  }
  const others = (subnetsOf(context, asked.network) ?? []).filter(({ name }) => name !== asked.name)
  draft.attempt(at, 'cidr', () => checkSubnetRange(asked.cidr, { network: range, others }))
  draft.change({ ...at, action: 'create', fields })
  const needs: Thing[] = [{ kind: 'network', name: asked.network }]
  draft.step({ ...at, action: 'create' }, { needs, body: { asked } })
}

export function planPort(context: PlanContext, asked: Manifest['ports'][number]): void {
  const { draft, world, project } = context
  const at: Thing = { kind: 'port', name: asked.name }
  const now = world.port.by('name', `${project}/${asked.name}`)[0]
  draft.see(
    at,
    now === undefined ? null : [now.id, now.setId, now.hostId, ownerKey(context, now.id)],
  )
  const subnet = subnetMeant(context, at, { network: asked.network, subnet: asked.subnet })
  const fields = differences('port', [
    ['network', world.network.get(now?.networkId)?.name ?? null, asked.network],
    ['subnet', world.subnet.get(now?.subnetId)?.name ?? null, asked.subnet],
    ['address', now?.address ?? null, asked.address],
  ])
  if (subnet === undefined) return
  const { address } = asked
  if (address !== undefined && address !== now?.address)
    checkAddress(context, at, { subnet, address })
  const needs: Thing[] = [
    { kind: 'network', name: asked.network },
    { kind: 'subnet', name: `${asked.network}/${subnet.name}` },
  ]
  if (now === undefined) {
    draft.change({ ...at, action: 'create', fields })
    draft.step({ ...at, action: 'create' }, { needs, body: { asked } })
    return
  }
  if (!mayChange(context, at, { id: now.id, fields })) return
  const user = instanceOf(world, now.setId ?? now.vmId)?.name ?? world.host.get(now.hostId)?.name
  if (!context.recreate) {
    for (const field of fields)
      draft.fixedField(
        at,
        field,
        'leave it, or apply with --recreate: the port is removed and created',
      )
  } else if (user !== undefined) {
    draft.problem(at, {
      code: 'IN_USE',
      field: fields[0]?.path ?? '',
      text: `it would have to be created anew, and ${user} uses it`,
      next: `remove ${user} first, or give the new port another name`,
    })
  }
  draft.change({ ...at, action: 'recreate', id: now.id, fields })
  draft.step({ ...at, action: 'remove' }, { body: { id: now.id } })
  draft.step({ ...at, action: 'create' }, { needs, body: { asked } })
}

/** An address that nobody else has, in the range of its subnet. */
export function checkAddress(
  context: PlanContext,
  at: Thing,
  asked: { subnet: { cidr: string; id: string | null }; address: string },
): void {
  const { world, draft } = context
  const { subnet, address } = asked
  draft.attempt(at, 'address', () => checkGuestAddress(subnet.cidr, address))
  if (subnet.id === null) return
  const holder = holdersOf(context, subnet.id).get(address)
  if (holder === undefined) return
  const name = instanceOf(world, holder.setId ?? holder.vmId)?.name ?? holder.name
  // A thing that is created anew keeps the address; its own port is not in the way.
  if (name === at.name) return
  draft.problem(at, {
    code: 'ADDRESS_TAKEN',
    field: 'address',
    text: `${address} is the address of ${name}`,
    next: 'choose another address, or none to get a free one',
  })
}

export function planImage(context: PlanContext, asked: Manifest['images'][number]): void {
  const { draft, world, project } = context
  const at: Thing = { kind: 'image', name: asked.name }
  const now = world.image.by('name', `${project}/${asked.name}`)[0]
  // Not seen for the check: between plan and apply it is uploaded.
  if (now === undefined) {
    if (asked.willUpload) draft.change({ ...at, action: 'create', notes: ['uploaded first'] })
    else
      draft.problem(at, {
        code: 'NOT_FOUND',
        field: '',
        text: 'there is no such image in the project, and the manifest gives no file for it',
        next: `give it a file in the manifest, or import it: nubo image import ${asked.name} FILE`,
      })
    return
  }
  const isOther =
    asked.digest !== undefined && now.uploadDigest !== null && asked.digest !== now.uploadDigest
  const fields = isOther ? differences('image', [['file', now.uploadDigest, asked.digest]]) : []
  const isUsedBy = instancesBy(world, 'image', now.id).length
  if (!mayChange(context, at, { id: now.id, fields })) return
  draft.problem(at, {
    code: 'FIELD_IMMUTABLE',
    field: 'file',
    text: 'the file has another content than the image of this name',
    next:
      isUsedBy > 0
        ? 'give the new content a new name and use that in the sets'
        : `remove the old one (nubo image rm ${asked.name}), or give the new content a new name`,
  })
}

/** Whether an image can be had: it is there, or it will be uploaded. */
export function isImageKnown(context: PlanContext, name: string): boolean {
  const { world, project } = context
  return (
    world.image.by('name', `${project}/${name}`).length > 0 ||
    isDeclared(context, { kind: 'image', name })
  )
}
