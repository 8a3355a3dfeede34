# SPDX-License-Identifier: GPL-2.0
# Judge the output of guest/selftests.sh, the first file, and KUnit's in the kernel log, the second.
# Prints "ok|not ok|skip NAME" per test. A program without its plan's number of results, or with a bad
# exit, is a failure; so is no result. Any awk will do.
# Usage: awk -v prefix=NAME -f tap.awk OUTPUT LOG

function emit(kind, name) {
	print kind " " name
	count++
}

# result(LINE, WHERE): a line of TAP without what is before it. Returns its kind.
function result(line, where, kind) {
	kind = line ~ /^not / ? "not ok" : "ok"
	sub(/^(not )?ok [0-9]+ *-? */, "", line)
	if (line ~ /# SKIP/)
		kind = "skip"
	emit(kind, where ": " line)
	return kind
}

function unfinished() {
	if (test != "")
		emit("not ok", prefix "/" test ": did not end")
	test = ""
}

# By name: the first file may be empty.
{ output = FILENAME == ARGV[1]; sub(/\r$/, "") }
!output { unfinished() }

# --- the output
output && /^## test / {
	unfinished()
	test = substr($0, 9)
	plan = -1
	seen = failed = skipped = 0
	next
}
output && /^## exit / && test != "" {
	where = prefix "/" test
	if (seen != plan)
		emit("not ok", where ": " seen " results, planned " (plan < 0 ? "none" : plan))
	else if (!seen && !skipped)
		emit("not ok", where ": no result")
	else if ($3 != 0 && !($3 == 4 && skipped) && !failed)
		emit("not ok", where ": exit " $3)
	test = ""
	next
}
output && test != "" && /^1\.\.[0-9]+/ {
	plan = substr($1, 4) + 0
	if (/SKIP/) {
		skipped = 1
		emit("skip", prefix "/" test ": " $0)
	}
	next
}
output && test != "" && /^(not )?ok [0-9]+/ {
	seen++
	kind = result($0, prefix "/" test)
	if (kind == "not ok")
		failed = 1
	if (kind == "skip")
		skipped = 1
	next
}
output { next }

# --- the kernel log: the suites run at every load. Each result counts once, and a failure always.
{ sub(/^\[[^]]*\] /, "") }
/^ +# Subtest: / { suite = $3; next }
suite != "" && /^    (not )?ok [0-9]+/ {
	line = substr($0, 5)
	name = line
	sub(/^(not )?ok [0-9]+ *-? */, "", name)
	name = prefix "/kunit/" suite ": " name
	if (!(name in kunit))
		order[++suites] = name
	if (kunit[name] != "not ok")
		kunit[name] = line ~ /^not / ? "not ok" : "ok"
}

END {
	unfinished()
	if (!count)
		emit("not ok", prefix ": no test ran")
	for (i = 1; i <= suites; i++)
		print kunit[order[i]] " " order[i]
	if (!suites)
		print "not ok " prefix "/kunit: no suite ran"
}
