// Command tlogcheck verifies an export of an audit log with golang.org/x/mod/sumdb/{note,tlog} alone.
//
// Usage: tlogcheck EXPORT VKEY [PROOFS]
//
// PROOFS are lines of JSON with proofs that the log's own reader gave:
// {"index":i,"size":n,"inclusion":[base64…]} and {"old":o,"size":n,"consistency":[base64…]}.
//
// It opens every signed checkpoint of the export, computes the root of the entries, and proves and checks
// inclusion of entries and consistency between sizes.
// It prints one line of JSON with what it found, and exits with 1 when anything does not hold.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type line struct {
	Entry      *string `json:"entry"`
	Leaf       string  `json:"leaf"`
	Checkpoint *string `json:"checkpoint"`
	Size       int64   `json:"size"`
}

type hashes []tlog.Hash

func (stored hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for at, index := range indexes {
		found[at] = stored[index]
	}
	return found, nil
}

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fail("usage: tlogcheck EXPORT VKEY [PROOFS]")
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(os.Args[2]))
	check(err)
	file, err := os.Open(os.Args[1])
	check(err)
	var stored hashes
	var size int64
	var notes []string
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	for lines.Scan() {
		var read line
		check(json.Unmarshal(lines.Bytes(), &read))
		if read.Entry != nil {
			leaf := tlog.RecordHash([]byte(*read.Entry))
			if base64.StdEncoding.EncodeToString(leaf[:]) != read.Leaf {
				fail(fmt.Sprintf("entry %d has another leaf hash", size))
			}
			more, err := tlog.StoredHashesForRecordHash(size, leaf, stored)
			check(err)
			stored = append(stored, more...)
			size++
		} else if read.Checkpoint != nil {
			notes = append(notes, *read.Checkpoint)
		}
	}
	check(lines.Err())
	var before int64
	var beforeRoot tlog.Hash
	for _, text := range notes {
		opened, err := note.Open([]byte(text), note.VerifierList(verifier))
		check(err)
		said := strings.Split(opened.Text, "\n")
		covered, err := strconv.ParseInt(said[1], 10, 64)
		check(err)
		root, err := tlog.TreeHash(covered, stored)
		check(err)
		if base64.StdEncoding.EncodeToString(root[:]) != said[2] {
			fail(fmt.Sprintf("the root of %d entries is another one", covered))
		}
		if before > 0 && before < covered {
			proof, err := tlog.ProveTree(covered, before, stored)
			check(err)
			check(tlog.CheckTree(proof, covered, root, before, beforeRoot))
		}
		before, beforeRoot = covered, root
	}
	proved := 0
	for at := int64(0); at < before; at += 1 + before/64 {
		proof, err := tlog.ProveRecord(before, at, stored)
		check(err)
		var leaf []tlog.Hash
		leaf, err = stored.ReadHashes([]int64{tlog.StoredHashIndex(0, at)})
		check(err)
		check(tlog.CheckRecord(proof, before, beforeRoot, at, leaf[0]))
		proved++
	}
	given := 0
	if len(os.Args) == 4 {
		given = checkProofs(os.Args[3], stored)
	}
	fmt.Printf("{\"entries\":%d,\"checkpoints\":%d,\"verified\":%d,\"inclusions\":%d,\"given\":%d}\n",
		size, len(notes), before, proved, given)
}

type proof struct {
	Index       int64       `json:"index"`
	Old         int64       `json:"old"`
	Size        int64       `json:"size"`
	Inclusion   []tlog.Hash `json:"inclusion"`
	Consistency []tlog.Hash `json:"consistency"`
}

// checkProofs checks proofs made by the log's own reader, and counts them.
func checkProofs(path string, stored hashes) int {
	file, err := os.Open(path)
	check(err)
	count := 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var given proof
		check(json.Unmarshal(lines.Bytes(), &given))
		root, err := tlog.TreeHash(given.Size, stored)
		check(err)
		if given.Old > 0 {
			old, err := tlog.TreeHash(given.Old, stored)
			check(err)
			check(tlog.CheckTree(given.Consistency, given.Size, root, given.Old, old))
		} else {
			leaf, err := stored.ReadHashes([]int64{tlog.StoredHashIndex(0, given.Index)})
			check(err)
			check(tlog.CheckRecord(given.Inclusion, given.Size, root, given.Index, leaf[0]))
		}
		count++
	}
	check(lines.Err())
	return count
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
