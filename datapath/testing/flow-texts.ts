import { formatFlow } from '@nubo/wire-openflow'
import { unpackCookie, type FeatureName } from '../cookies.ts'
import { tableNames } from '../pipeline.ts'
import { compile } from '../program.ts'
import type { ObjectKey } from '../slice.ts'
import { sampleSlice, sampleTunnel } from './slices.ts'

/** The flows of one feature for the sample slice, by the object that owns them, with names of tables. */
export function flowTexts(feature: FeatureName): Partial<Record<ObjectKey, string[]>> {
  const texts: Partial<Record<ObjectKey, string[]>> = {}
  for (const [key, flows] of compile(sampleSlice, sampleTunnel, 1).objects) {
    const own = flows.filter(({ cookie }) => unpackCookie(cookie)?.feature === feature)
    if (own.length === 0) continue
    texts[key] = own.map((flow) => formatFlow(flow, { tableNames, omitCookie: true }))
  }
  return texts
}
