/**
 * Cuts TypeScript into tokens, so that rules look at code and not at comments or texts. It knows no grammar: TypeScript 7
 * has no parser for programs to use, and what the rules need can be read from the tokens.
 */
export interface Token {
  readonly kind: 'word' | 'number' | 'string' | 'template' | 'regex' | 'mark'
  /** Of a string or a template: what stands between its quotes. */
  readonly text: string
  /** From 1. */
  readonly line: number
}

export interface Comment {
  readonly text: string
  readonly line: number
}

const marks = ['...', '=>', '?.', '??', '&&', '||']
// A slash after one of these words begins a regular expression; after any other word it divides.
const wordsBeforeValue = new Set(
  'return typeof case in of delete void throw new do else yield await instanceof'.split(' '),
)

class Lexer {
  readonly tokens: Token[] = []
  readonly comments: Comment[] = []
  readonly #text: string
  #at = 0
  #line = 1
  /** Open braces; true where the brace is the `${` of a template. */
  readonly #braces: boolean[] = []

  constructor(text: string) {
    this.#text = text
  }

  run(): void {
    while (this.#at < this.#text.length) this.#step()
    if (this.#braces.length > 0) throw new Error(`${this.#braces.length} braces are not closed`)
  }

  #step(): void {
    const rest = this.#text.slice(this.#at, this.#at + 3)
    const char = rest[0] ?? ''
    if (/\s/.test(char)) this.#skip(/\s+/y)
    else if (rest.startsWith('#!') && this.#at === 0) this.#comment(/.*/y)
    else if (rest.startsWith('//')) this.#comment(/.*/y)
    else if (rest.startsWith('/*')) this.#comment(/\/\*[^]*?\*\//y)
    else if (char === "'" || char === '"') this.#string(char)
    else if (char === '`') this.#template()
    else if (char === '}' && this.#braces.pop() === true) this.#template()
    else if (/[\p{ID_Start}$_#]/u.test(char)) this.#take('word', /#?[\p{ID_Continue}$]+/uy)
    else if (/\d/.test(char)) this.#take('number', /[\d][\w.]*/y)
    else if (char === '/' && this.#isValueExpected())
      this.#take('regex', /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y)
    else this.#mark(rest)
  }

  #mark(rest: string): void {
    const mark = marks.find((one) => rest.startsWith(one)) ?? rest[0] ?? ''
    if (mark === '{') this.#braces.push(false)
    this.#push('mark', mark)
    this.#at += mark.length
  }

  /** From a backquote, or from the brace that ends a `${`, to the next `${` or the closing backquote. */
  #template(): void {
    const found = this.#match(/[`}]((?:\\[^]|\$(?!\{)|[^`\\$])*)(`|\$\{)/y)
    if (found[2] === '${') this.#braces.push(true)
    this.#push('template', found[1] ?? '')
    this.#advance(found[0])
  }

  #string(quote: string): void {
    const found = this.#match(
      quote === "'" ? /'((?:\\[^]|[^'\\\n])*)'/y : /"((?:\\[^]|[^"\\\n])*)"/y,
    )
    this.#push('string', found[1] ?? '')
    this.#advance(found[0])
  }

  #comment(pattern: RegExp): void {
    const found = this.#match(pattern)
    this.comments.push({ text: found[0], line: this.#line })
    this.#advance(found[0])
  }

  #take(kind: Token['kind'], pattern: RegExp): void {
    const found = this.#match(pattern)
    this.#push(kind, found[0])
    this.#advance(found[0])
  }

  #skip(pattern: RegExp): void {
    this.#advance(this.#match(pattern)[0])
  }

  /** Whether a value may begin here, so that a slash is no division. */
  #isValueExpected(): boolean {
    const last = this.tokens.at(-1)
    if (last === undefined) return true
    if (last.kind === 'word') return wordsBeforeValue.has(last.text)
    if (last.kind !== 'mark') return false
    // `x! / y`: an exclamation mark right after a value belongs to it.
    if (last.text === '!') return !/[\w$)\]]!\s*$/.test(this.#text.slice(0, this.#at))
    return ![')', ']', '}'].includes(last.text)
  }

  #match(pattern: RegExp): RegExpExecArray {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found === null)
      throw new Error(`line ${this.#line}: not TypeScript that is understood here`)
    return found
  }

  #push(kind: Token['kind'], text: string): void {
    this.tokens.push({ kind, text, line: this.#line })
  }

  #advance(text: string): void {
    this.#at += text.length
    this.#line += text.split('\n').length - 1
  }
}

/** Throws where the text cannot be TypeScript, so that nothing escapes the rules by being odd. */
export function readTokens(text: string): { tokens: Token[]; comments: Comment[] } {
  const lexer = new Lexer(text)
  lexer.run()
  return { tokens: lexer.tokens, comments: lexer.comments }
}
