import { z } from 'zod'
import { cidr, id, idParams, inProject, ipv4, name, reason } from './common.ts'
import { fieldEffectTexts, manifestKinds, type FieldEffect } from './field-effects.ts'
import { operation, operationState } from './operation.ts'
import { defineRoute } from './route.ts'
import { setCreate } from './set.ts'

/** All things of one manifest; its text as JSON is bounded by the size of a request, 1 MiB. */
export const MANIFEST_OBJECTS_MAX = 1_000

export const manifestNetwork = z.strictObject({ name, cidr }).meta({ id: 'ManifestNetwork' })
export const manifestSubnet = z
  .strictObject({ name, network: name, cidr })
  .meta({ id: 'ManifestSubnet' })
export const manifestPort = z
  .strictObject({
    name,
    network: name,
    /** Needed when the network has more than one subnet. */
    subnet: name.optional(),
    address: ipv4.optional(),
  })
  .meta({ id: 'ManifestPort' })
export const manifestImage = z
  .strictObject({
    name,
    /** Of the file that it comes from: an image with another content is a problem of the plan. */
    digest: z
      .string()
      .regex(/^sha256:[0-9a-f]{64}$/)
      .optional(),
    /** It is not there yet, and whoever applies imports it before. */
    willUpload: z.boolean().default(false),
  })
  .meta({ id: 'ManifestImage' })
export const manifestSet = setCreate
  .extend({
    /** Sets of the manifest that must run before this one is created or changed. */
    after: z.array(name).max(16).default([]),
  })
  .meta({ id: 'ManifestSet' })

const list = <Item extends z.ZodType>(item: Item) =>
  z.array(item).max(MANIFEST_OBJECTS_MAX).default([])

/** What a project should hold. References are names, of things in the manifest or of things that are there already. */
export const manifest = z
  .strictObject({
    /** Whose things these are: what a manifest applied and no longer names is removed by `prune`. */
    name,
    networks: list(manifestNetwork),
    subnets: list(manifestSubnet),
    ports: list(manifestPort),
    images: list(manifestImage),
    sets: list(manifestSet),
  })
  .refine(
    ({ networks, subnets, ports, images, sets }) =>
      networks.length + subnets.length + ports.length + images.length + sets.length <=
      MANIFEST_OBJECTS_MAX,
    `at most ${MANIFEST_OBJECTS_MAX} things in one manifest`,
  )
  .meta({ id: 'Manifest' })
export type Manifest = z.output<typeof manifest>

/** One document as people write it: the parts of a manifest may lie in several, and images have files. */
export const manifestDocument = z.strictObject({
  name: name.optional(),
  networks: list(manifestNetwork),
  subnets: list(manifestSubnet),
  ports: list(manifestPort),
  images: list(
    z.strictObject({
      name,
      /** Relative to the document. Without it the image must be there. */
      file: z.string().min(1).max(4_096).optional(),
      /** Only for a root file system: its default command. */
      command: z.array(z.string().max(32_768)).max(256).optional(),
    }),
  ),
  sets: list(manifestSet),
})
export type ManifestDocument = z.output<typeof manifestDocument>

// proof: the keys of the record are exactly the union
const fieldEffect = z.enum(Object.keys(fieldEffectTexts) as [FieldEffect, ...FieldEffect[]])
export const fieldChange = z
  .object({
    /** Dotted, as 'containers.web.image'. */
    path: z.string(),
    /** Null: absent. Values of environments are hidden. */
    before: z.unknown(),
    after: z.unknown(),
    effect: fieldEffect,
    why: z.string(),
  })
  .meta({ id: 'FieldChange' })
export type FieldChange = z.infer<typeof fieldChange>

export const plannedAction = z.enum(['create', 'update', 'recreate', 'remove', 'adopt'])
export const plannedChange = z
  .object({
    action: plannedAction,
    kind: z.enum(manifestKinds),
    name: z.string(),
    /** Null for what does not exist yet. */
    id: id.nullable(),
    fields: z.array(fieldChange),
    /** Why it is re-created or removed; null where the fields say it. */
    why: z.string().nullable(),
    /** Where it would be placed as things are, and what else is worth knowing. */
    notes: z.array(z.string()),
  })
  .meta({ id: 'PlannedChange' })
export type PlannedChange = z.infer<typeof plannedChange>

/** Something that keeps a manifest from being applied. */
export const planProblem = z
  .object({
    code: z.string(),
    kind: z.enum(manifestKinds),
    name: z.string(),
    /** Empty where the thing as a whole is meant. */
    field: z.string(),
    text: z.string(),
    next: z.string(),
  })
  .meta({ id: 'PlanProblem' })
export type PlanProblem = z.infer<typeof planProblem>

export const plan = z
  .object({
    manifest: name,
    /** Of the world that it was made from. */
    revision: z.int(),
    /** Stands for the state of everything that the plan touches; `apply` refuses if it is another by then. */
    check: z.string(),
    /** In the order in which they are carried out, as far as there is one. */
    changes: z.array(plannedChange),
    problems: z.array(planProblem),
    /** Things of the manifest that are as described. */
    unchanged: z.int(),
    /** What the manifest applied before and does not name any more; `prune` removes it. */
    orphans: z.array(z.object({ kind: z.enum(manifestKinds), name: z.string() })),
    /** What is as described and yet not well. */
    warnings: z.array(z.string()),
  })
  .meta({ id: 'Plan' })
export type Plan = z.infer<typeof plan>

export const applyStep = z
  .object({
    action: z.enum(['create', 'update', 'remove', 'adopt']),
    kind: z.enum(manifestKinds),
    name: z.string(),
    /** `skipped`: not tried, since something that it needs failed or the work ended before. */
    state: z.enum(['pending', 'running', 'done', 'failed', 'skipped']),
    reason: reason.nullable(),
  })
  .meta({ id: 'ApplyStep' })
export type ApplyStep = z.infer<typeof applyStep>

const planBody = {
  manifest,
  /** Also remove what the manifest applied before and does not name any more. */
  prune: z.boolean().default(false),
  /** Remove and create things where a field cannot be changed in place. */
  recreate: z.boolean().default(false),
}

export const applyRoutes = {
  planCreate: defineRoute({
    method: 'POST',
    path: '/v1/plan',
    summary: 'Says what applying a manifest would change, field by field; changes nothing.',
    access: 'member',
    query: z.strictObject(inProject),
    body: z.strictObject(planBody),
    reply: plan,
    status: 200,
  }),
  applyCreate: defineRoute({
    method: 'POST',
    path: '/v1/apply',
    summary:
      'Makes a project as a manifest describes it. With the check of a plan it refuses if anything that the plan touches has changed meanwhile; nothing is changed then.',
    access: 'member',
    query: z.strictObject(inProject),
    body: z.strictObject({ ...planBody, check: z.string().max(100).optional() }),
    reply: operation,
    status: 202,
  }),
  applyShow: defineRoute({
    method: 'GET',
    path: '/v1/applies/:id',
    summary: 'Shows each step of an apply, by the id of its operation.',
    access: 'viewer',
    params: idParams,
    query: z.strictObject(inProject),
    reply: z
      .object({ id, manifest: name, state: operationState, steps: z.array(applyStep) })
      .meta({ id: 'Apply' }),
    status: 200,
  }),
}
