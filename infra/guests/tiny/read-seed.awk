# Reads the files of a NoCloud seed, one after the other, and writes each value into a file of its own, named by its path:
# {"users":[{"name":"ada"}]} gives "ada" in users.0.name. So no value ever passes through the shell's own parser.
# JSON (which is YAML too) is understood whole, but for \u escapes beyond Latin-1; of other YAML only `key: value` at the top
# and a top-level list of plain items.
FNR == 1 { read() }
{ text = text $0 "\n" }
END { read() }

function read() {
  sub(/^#cloud-config[^\n]*\n/, "", text)
  if (text ~ /^[ \t\n]*[{]/) value(""); else lines()
  text = ""
}

function keep(path, content) {
  gsub(/\//, "_", path)
  path = into substr(path, 2)
  printf "%s", content > path
  close(path)
}

function blank() { sub(/^[ \t\r\n]+/, "", text) }
function take(  c) { c = substr(text, 1, 1); text = substr(text, 2); return c }

function value(path,  c, n, key) {
  blank()
  c = substr(text, 1, 1)
  if (c == "{") {
    take(); blank()
    while (substr(text, 1, 1) != "}" && text != "") {
      key = string(); blank(); take(); value(path "." key); blank()
      if (substr(text, 1, 1) == ",") { take(); blank() }
    }
    take()
  } else if (c == "[") {
    take(); blank(); n = 0
    while (substr(text, 1, 1) != "]" && text != "") {
      value(path "." n++); blank()
      if (substr(text, 1, 1) == ",") { take(); blank() }
    }
    take()
  } else if (c == "\"") keep(path, string())
  else {
    match(text, /^[^],} \t\r\n]*/)
    keep(path, substr(text, 1, RLENGTH))
    text = substr(text, RLENGTH + 1)
    if (RLENGTH < 1) take()
  }
}

function string(  out, c) {
  take(); out = ""
  while (text != "") {
    if (match(text, /^[^"\\]+/)) { out = out substr(text, 1, RLENGTH); text = substr(text, RLENGTH + 1) }
    c = take()
    if (c == "\"") return out
    c = take()
    if (c == "n") out = out "\n"
    else if (c == "t") out = out "\t"
    else if (c == "r") out = out "\r"
    else if (c == "b" || c == "f") continue
    else if (c == "u") { out = out latin(substr(text, 1, 4)); text = substr(text, 5) }
    else out = out c
  }
  return out
}

function latin(hex,  n, i) {
  n = 0
  for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", tolower(substr(hex, i, 1))) - 1
  if (n < 128) return sprintf("%c", n)
  if (n < 2048) return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
  return "?"
}

function lines(  all, n, i, key, count, line) {
  n = split(text, all, "\n")
  for (i = 1; i <= n; i++) {
    line = all[i]
    if (match(line, /^[A-Za-z_-]+:/)) {
      key = substr(line, 1, RLENGTH - 1); count = 0
      line = plain(substr(line, RLENGTH + 1))
      if (line != "") keep("." key, line)
    } else if (match(line, /^ *- /)) keep("." key "." count++, plain(substr(line, RLENGTH + 1)))
  }
}

function plain(s) {
  gsub(/^[ \t]+|[ \t\r]+$/, "", s)
  if (s ~ /^".*"$/ || s ~ /^'.*'$/) s = substr(s, 2, length(s) - 2)
  return s
}
