/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/** A median and what it lies between. */
typedef struct spread_t {
    double median;
    double least;
    double most;
} spread_t;

double measure_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static int explain(const char *program)
{
    fprintf(stderr,
            "usage: %s [--rounds N] [--ops N] [--parent-mib N] [--data-mib N] [--csv FILE] "
            "[--only P1,P2]\n",
            program);
    return -1;
}

int measure_parse(measure_options_t *options, int argc, char **argv)
{
    const struct {
        const char *name;
        int *number;
        const char **text;
    } known[] = {
        {"--rounds", &options->rounds, NULL},
        {"--ops", &options->operations, NULL},
        {"--parent-mib", &options->parent_mib, NULL},
        {"--data-mib", &options->data_mib, NULL},
        {"--csv", NULL, &options->csv},
        {"--only", NULL, &options->only},
    };
    enum { KNOWN = sizeof known / sizeof known[0] };
    for (int i = 1; i < argc; i += 2) {
        int which = 0;
        while (which < KNOWN && strcmp(argv[i], known[which].name) != 0)
            which++;
        if (which == KNOWN || i + 1 == argc)
            return explain(argv[0]);
        if (known[which].text) {
            *known[which].text = argv[i + 1];
            continue;
        }
        const long number = strtol(argv[i + 1], NULL, 10);
        if (number < 1 || number > 1000000)
            return explain(argv[0]);
        *known[which].number = (int)number;
    }
    return 0;
}

/** Whether a comma-separated list names an id; no list names all. */
static int is_selected(const char *list, const char *id)
{
    const size_t length = strlen(id);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, id, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return 1;
    }
    return !list;
}

int measure_is_wanted(const measure_options_t *options, const char *id)
{
    return is_selected(options->only, id);
}

/* ---- Statistics -------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/** Sorts the values. */
static spread_t spread_of(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    const double lower = values[(count - 1) / 2];
    const double upper = values[count / 2];
    return (spread_t){(lower + upper) / 2, values[0], values[count - 1]};
}

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

int measure_operations(int (*operation)(void *context), void *context, int count, double *value)
{
    double *times = malloc((size_t)count * sizeof *times);
    int result = times ? 0 : -1;
    for (int i = 0; i < count && result == 0; i++) {
        const double start = measure_now();
        result = operation(context);
        times[i] = measure_now() - start;
    }
    if (result == 0)
        *value = spread_of(times, count).median;
    free(times);
    return result;
}

/** Measure one subject in one round. The first round is to warm up, and not kept. */
static void measure_one(measure_subject_t *subject, int round, int operations)
{
    const int divisor = subject->divisor > 0 ? subject->divisor : 1;
    const int count = round == 0 || operations < divisor ? 1 : operations / divisor;
    double value = 0;
    const int result = subject->operation ? measure_operations(subject->operation, subject->context, count, &value)
                                          : subject->round(subject->context, count, &value);
    if (result != 0)
        subject->missing = "it failed";
    else if (round > 0)
        subject->values[round - 1] = value;
}

static void measure_all(const measure_options_t *options, measure_subject_t *subjects, size_t count)
{
    for (int round = 0; round <= options->rounds; round++)
        for (size_t i = 0; i < count; i++)
            if (subjects[i].is_wanted && !subjects[i].missing)
                measure_one(&subjects[i], round, options->operations);
}

/* ---- The report -------------------------------------------------------------------------------------------------- */

/** A comparison that was measured. */
typedef struct result_t {
    spread_t ours;
    spread_t theirs;
    spread_t ratio;
    const char *missing;
    const char *verdict;
} result_t;

static const char *judge(double target, double ratio)
{
    if (target == 0)
        return "";
    const int is_met = target < 0 ? ratio >= -target : ratio <= target;
    return is_met ? "met" : "missed";
}

/** Evaluate a comparison; `scratch` has room for a value of each round. */
static result_t evaluate(const measure_comparison_t *comparison, int rounds, double *scratch)
{
    result_t result = {.verdict = "missing"};
    const size_t size = (size_t)rounds * sizeof *scratch;
    result.missing = comparison->ours->missing ? comparison->ours->missing : comparison->theirs->missing;
    if (!comparison->ours->missing) {
        memcpy(scratch, comparison->ours->values, size);
        result.ours = spread_of(scratch, rounds);
    }
    if (!comparison->theirs->missing) {
        memcpy(scratch, comparison->theirs->values, size);
        result.theirs = spread_of(scratch, rounds);
    }
    if (result.missing)
        return result;
    for (int i = 0; i < rounds; i++)
        scratch[i] = comparison->ours->values[i] / comparison->theirs->values[i];
    result.ratio = spread_of(scratch, rounds);
    result.verdict = judge(comparison->target, result.ratio.median);
    return result;
}

/** As many digits as mean something: at least three. */
static const char *number(char text[16], double value)
{
    const int decimals = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 4;
    snprintf(text, 16, "%.*f", decimals, value);
    return text;
}

static const char *target_text(char text[32], double target)
{
    if (target == 0)
        return "";
    snprintf(text, 32, "%s %g", target < 0 ? ">=" : "<=", target < 0 ? -target : target);
    return text;
}

static void print_spread(spread_t spread)
{
    char median[16], range[40], least[16], most[16];
    snprintf(range, sizeof range, "[%s..%s]", number(least, spread.least), number(most, spread.most));
    printf(" %8s %-18s", number(median, spread.median), range);
}

static void print_line(const measure_comparison_t *comparison, const result_t *result)
{
    char target[32];
    if (result->missing) {
        printf("  %-36s missing: %s\n", comparison->ours->missing ? comparison->ours->name : comparison->theirs->name,
               result->missing);
        return;
    }
    printf("  %-36s", comparison->theirs->name);
    print_spread(result->theirs);
    printf(" ratio");
    print_spread(result->ratio);
    printf(" %-9s %s\n", target_text(target, comparison->target), result->verdict);
}

static void write_spread(FILE *file, spread_t spread)
{
    fprintf(file, ",%.6g,%.6g,%.6g", spread.median, spread.least, spread.most);
}

static void write_line(FILE *file, const measure_comparison_t *comparison, const result_t *result)
{
    char target[32];
    fprintf(file, "%s,\"%s\",%s,%s,\"%s\"", comparison->id, comparison->work, comparison->unit,
            comparison->role == MEASURE_PEER ? "peer" : "reference", comparison->ours->name);
    write_spread(file, result->ours);
    fprintf(file, ",\"%s\"", comparison->theirs->name);
    write_spread(file, result->theirs);
    write_spread(file, result->ratio);
    fprintf(file, ",%s,%s,\"%s\"\n", target_text(target, comparison->target), result->verdict,
            result->missing ? result->missing : "");
}

static int report(const measure_options_t *options, const measure_comparison_t *comparisons, size_t count,
                  double *scratch)
{
    const char *work = "";
    size_t wanted = 0;
    for (size_t i = 0; i < count; i++)
        wanted += (size_t)is_selected(options->only, comparisons[i].id);
    if (wanted == 0)
        return 0;
    FILE *file = options->csv ? fopen(options->csv, "a") : NULL;
    if (options->csv && !file) {
        perror(options->csv);
        return -1;
    }
    if (file && fseek(file, 0, SEEK_END) == 0 && ftell(file) == 0)
        fprintf(file, "id,work,unit,role,ours,ours_median,ours_min,ours_max,theirs,theirs_median,theirs_min,theirs_max,"
                      "ratio_median,ratio_min,ratio_max,target,verdict,missing\n");
    printf("%d rounds of %d operations; median [min..max] of the rounds\n", options->rounds, options->operations);
    for (size_t i = 0; i < count; i++) {
        const measure_comparison_t *comparison = &comparisons[i];
        if (!is_selected(options->only, comparison->id))
            continue;
        const result_t result = evaluate(comparison, options->rounds, scratch);
        if (strcmp(work, comparison->work) != 0) {
            work = comparison->work;
            printf("\n%s %s, %s\n  %-36s", comparison->id, work, comparison->unit, comparison->ours->name);
            print_spread(result.ours);
            printf("\n");
        }
        print_line(comparison, &result);
        if (file)
            write_line(file, comparison, &result);
    }
    return file ? fclose(file) : 0;
}

int measure(const measure_options_t *options, measure_subject_t *subjects, size_t subject_count,
            const measure_comparison_t *comparisons, size_t comparison_count)
{
    const size_t rounds = (size_t)options->rounds;
    double *memory = calloc((subject_count + 1) * rounds, sizeof *memory);
    if (!memory)
        return -1;
    for (size_t i = 0; i < subject_count; i++)
        subjects[i].values = memory + i * rounds;
    for (size_t i = 0; i < comparison_count; i++) {
        const int is_wanted = is_selected(options->only, comparisons[i].id);
        comparisons[i].ours->is_wanted |= is_wanted;
        comparisons[i].theirs->is_wanted |= is_wanted;
    }
    measure_all(options, subjects, subject_count);
    const int result = report(options, comparisons, comparison_count, memory + subject_count * rounds);
    free(memory);
    return result;
}
