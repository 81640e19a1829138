import { controlPlaneParts, domains, isTestCode, levelOf, mayImport } from './levels.ts'
import { resolveImport } from './resolve.ts'
import type { Import, SourceFile } from './source-file.ts'
import type { Tree } from './tree.ts'
import { fileRule, type Fault, type Rule } from './violation.ts'

/** Folders without a package face that test files of every package reach by path. */
const sharedByTests = /^(tests\/support|tools)\//

/** Calls `check` for each import that leads to a file of ours. */
function linkRule(
  name: string,
  check: (link: {
    from: SourceFile
    to: string
    imported: Import
    tree: Tree
  }) => string | undefined,
): Rule {
  return fileRule(name, (file, tree) =>
    file.imports.flatMap((imported) => {
      const target = resolveImport(tree, file, imported)
      if (target.at !== 'file') return []
      const text = check({ from: file, to: target.path, imported, tree })
      return text === undefined ? [] : [{ line: imported.line, text }]
    }),
  )
}

const unresolved = fileRule('unresolved', (file, tree) =>
  file.imports.flatMap((imported) => {
    const target = resolveImport(tree, file, imported)
    return target.at === 'nowhere' ? [{ line: imported.line, text: target.why }] : []
  }),
)

const sideEffect = fileRule('side-effect', (file) =>
  file.imports
    .filter((imported) => imported.form === 'side-effect')
    .map(({ line, specifier }) => ({
      line,
      text: `${specifier} is imported for its side effects; call something of it instead`,
    })),
)

const direction = linkRule('direction', ({ from, to }) => {
  const fromLevel = levelOf(from.path)
  const toLevel = levelOf(to)
  if (fromLevel === undefined || toLevel === undefined) return undefined // the rule `level` says it
  if (mayImport(fromLevel, toLevel)) return undefined
  if (isTestCode(from.path) && sharedByTests.test(to)) return undefined
  return `${fromLevel} may not import ${toLevel}`
})

const packageFace = linkRule('package-face', ({ from, to, imported, tree }) => {
  const isRelative = imported.specifier?.startsWith('.') === true
  const isSamePackage = tree.packageOf(from.path) === tree.packageOf(to)
  if (to === 'package.json') return undefined // of the whole product: its version
  if (isRelative && !isSamePackage && !(isTestCode(from.path) && sharedByTests.test(to)))
    return 'another package is imported by its name, through its index.ts'
  if (!isRelative && isSamePackage) return 'inside a package imports are relative'
  return undefined
})

const testCode = linkRule('test-code', ({ from, to }) =>
  !isTestCode(from.path) && isTestCode(to) ? 'only tests import test code' : undefined,
)

const wireAlone = fileRule('wire-alone', (file, tree) =>
  file.path.startsWith('wire/') && !isTestCode(file.path)
    ? file.imports
        .filter((imported) => resolveImport(tree, file, imported).at === 'external')
        .map(({ line, specifier }) => ({
          line,
          text: `a codec stands alone, only node: modules are at hand; not ${specifier}`,
        }))
    : [],
)

const domainOf = (path: string): string | undefined =>
  /^control-plane\/domains\/([^/]+)\//.exec(path)?.[1]

const domainFace = linkRule('domain-face', ({ from, to }) => {
  const domain = domainOf(to)
  if (domain === undefined || domain === domainOf(from.path) || isTestCode(from.path))
    return undefined
  return to === `control-plane/domains/${domain}/index.ts`
    ? undefined
    : `the domain ${domain} is imported through its index.ts`
})

const domainOrder = linkRule('domain-order', ({ from, to }) => {
  const [domain, other] = [domainOf(from.path), domainOf(to)]
  if (domain === undefined || other === undefined || domain === other) return undefined
  if (domains[domain] === undefined) return `the domain ${domain} has no place in the order`
  return domains[domain].includes(other)
    ? undefined
    : `${domain} may not import ${other}; the other way round, or through an interface in needs.ts`
})

const partOf = (path: string): string | undefined => /^control-plane\/([^/]+)\//.exec(path)?.[1]

const partOrder = linkRule('part-order', ({ from, to }) => {
  const part = partOf(from.path)
  if (part === undefined || levelOf(to) !== 'control-plane' || isTestCode(from.path))
    return undefined
  const allowed = controlPlaneParts[part]
  if (allowed === undefined) return `control-plane/${part} has no place in the order`
  const other = partOf(to)
  if (other === part) return undefined
  if (other === undefined) return `control-plane/${part} may not import what composes it`
  if (!allowed.includes(other)) return `control-plane/${part} may not import ${other}`
  return to.endsWith('/index.ts') ? undefined : `${other} is imported through its index.ts`
})

/** Implementations that talk to the outside; only `main.ts` puts them in. */
const adapterFolder = (path: string): string | undefined =>
  /^(control-plane\/adapters|host-agent\/drivers\/[^/]+\/[^/]+)\//.exec(path)?.[1]

const adapters = linkRule('adapters', ({ from, to, imported, tree }) => {
  if (imported.form === 'type' || isTestCode(from.path)) return undefined
  if (/^[a-z-]+\/main\.ts$/.test(from.path)) return undefined
  // An index.ts shows them to main.ts and tests; whoever else takes one from there is found by its origin.
  if (from.path.endsWith('/index.ts') && imported.form === 're-export') return undefined
  const folders = originsOf(tree, to, imported.names).map(adapterFolder)
  const folder = folders.find((one) => one !== undefined && !from.path.startsWith(`${one}/`))
  if (folder === undefined) return undefined
  // A fake ships for the simulated host.
  if (folder.endsWith('/fake') && from.path.startsWith('host-agent/simulated/')) return undefined
  return 'only main.ts brings in adapters and drivers; take an interface as a parameter'
})

/** The file, or where an index.ts has these names from. */
function originsOf(tree: Tree, path: string, names: readonly string[]): string[] {
  const face = path.endsWith('/index.ts') && tree.files.find((file) => file.path === path)
  if (!face) return [path]
  return face.imports
    .filter((one) => one.names.some((name) => names.includes(name) || names.includes('*')))
    .flatMap((one) => {
      const target = resolveImport(tree, face, one)
      return target.at === 'file' ? [target.path] : []
    })
}

const externals: readonly (readonly [name: string, where: RegExp])[] = [
  ['pg', /^runtime\/postgres\//],
  ['fastify', /^runtime\/http\//],
  ['pino', /^runtime\/process\/log\.ts$/],
  ['ws', /^control-plane\/adapters\/|^host-agent\/session\//],
  ['commander', /^cli\//],
  ['zod', /^(contracts|runtime|control-plane|host-agent|lab)\//],
]

const library = fileRule('library', (file) =>
  file.imports.flatMap(({ line, specifier, form }) => {
    const where = externals.find(([name]) => name === specifier)?.[1]
    const isAllowed = where === undefined || where.test(file.path) || isTestCode(file.path)
    return isAllowed || form === 'type'
      ? []
      : [{ line, text: `${specifier} is used only in ${where.source}` }]
  }),
)

/** Files that import each other in a ring, types included: one report for each ring. */
const cycle: Rule = {
  name: 'cycle',
  check: (tree) => {
    const links = new Map(tree.files.map((file) => [file.path, linksOf(tree, file)]))
    const done = new Set<string>()
    const faults: Fault[] = []
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) {
        const ring = [...trail.slice(trail.indexOf(path)), path]
        faults.push({ path, line: 1, text: `imports itself: ${ring.join(' → ')}` })
      } else if (!done.has(path)) {
        for (const next of links.get(path) ?? []) visit(next, [...trail, path])
        done.add(path)
      }
    }
    for (const path of links.keys()) visit(path, [])
    return faults
  },
}

function linksOf(tree: Tree, file: SourceFile): string[] {
  return file.imports.flatMap((imported) => {
    // An import inside a function is not there while modules load.
    const target = imported.form === 'dynamic' ? undefined : resolveImport(tree, file, imported)
    return target?.at === 'file' ? [target.path] : []
  })
}

export const importRules: readonly Rule[] = [
  unresolved,
  sideEffect,
  direction,
  packageFace,
  testCode,
  wireAlone,
  domainFace,
  domainOrder,
  partOrder,
  adapters,
  library,
  cycle,
]
