package local_test

import (
	"testing"

	"github.com/fluoro-io/fluoro/internal/store/storetest"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// The tests below run what holds for a clear store over an encrypted one, in a short form.
// $FLUORO_TEST_ENCRYPTION=1 runs all other tests encrypted, in full.

func encrypted(t *testing.T) {
	t.Helper()
	t.Setenv("FLUORO_TEST_ENCRYPTION", "1")
}

func TestSealed_contract(t *testing.T) {
	encrypted(t)
	storetest.Run(t, engine(nil))
}

func TestSealed_histories(t *testing.T) {
	encrypted(t)
	t.Setenv("FLUORO_HISTORIES", "6")
	TestHistory_givesTheAnswersOfTheModel(t)
}

func TestSealed_crashAndFail(t *testing.T) {
	encrypted(t)
	most := 6
	if testing.Short() {
		most = 3
	}
	for k := range somePoints(t, func(fs *vfs.Mem) { cycleAndClose(t, fs) }, most) {
		crashAt(t, k)
		failAt(t, k)
	}
}

func TestSealed_backupAndDamage(t *testing.T) {
	encrypted(t)
	t.Run("backup", TestBackup_hasWhatWasAcknowledged)
	t.Run("dropped meanwhile", TestBackup_keepsWhatIsDroppedMeanwhile)
	t.Run("check counts", TestInspect_countsWhatReadersSee)
	t.Run("check damage", TestInspect_namesEveryDamage)
	t.Run("damaged directory", TestDamagedDirectory)
}
