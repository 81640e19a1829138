/** The rows of all tables of a page, as texts of their cells; heads and their rules are left out. */
export function tableRows(page: string): string[][] {
  const lines = page.split('\n')
  return lines.flatMap((line, at) => {
    const isHead = lines[at + 1]?.startsWith('| --- ') === true
    if (!line.startsWith('| ') || line.startsWith('| --- ') || isHead) return []
    const cells = line.split(/(?<!\\)\|/).slice(1, -1)
    return [cells.map((cell) => cell.trim().replaceAll(/^`|`$/g, ''))]
  })
}
