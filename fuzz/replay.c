/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the fuzzer's main: feeds every file of the directories named on the command line to
 * the target, so that what was found once is tried by each `make test`, with any compiler.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (!file || fstat(fileno(file), &st) != 0) {
        perror(path);
        return 1;
    }
    /* Exactly as large as the input, so that a read past its end is seen by the sanitizer. */
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1);
    int bad = !data || fread(data, 1, size, file) != size;
    if (bad)
        perror(path);
    else
        LLVMFuzzerTestOneInput(data, size);
    free(data);
    fclose(file);
    return bad;
}

static int replay_directory(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    int files = 0, bad = 0;
    if (count < 0) {
        perror(path);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            char name[4096];
            snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
            bad |= replay_file(name);
            files++;
        }
        free(entries[i]);
    }
    free(entries);
    printf("%s: %d inputs\n", path, files);
    return bad || files == 0;
}

int main(int argc, char **argv)
{
    int bad = argc < 2;
    for (int i = 1; i < argc; i++)
        bad |= replay_directory(argv[i]);
    return bad;
}
