/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers: whoever has something to ask puts it into their queue, with a reference to a queue of its own, into which
 * the worker puts the answer. That all are answered the queue of questions tells: it can be joined.
 */
#include <stdio.h>

#include <mproc/mproc.h>

enum { WORKERS = 3, QUESTIONS = 10 };

/* The queue in which the answer is expected cannot go to another process, but what names it can. */
typedef struct question_t {
    int number;
    mproc_ref_t answers;
} question_t;

typedef struct answer_t {
    int number;
    long square;
} answer_t;

static int fail(const char *what)
{
    fprintf(stderr, "workers: %s: %s\n", what, mproc_last_error()->text);
    return 1;
}

static apr_status_t give_answer(const question_t *question)
{
    const answer_t answer = {.number = question->number, .square = (long)question->number * question->number};
    mproc_queue_t *answers;
    apr_status_t status = mproc_queue_open(&answers, &question->answers, NULL);
    if (status == APR_SUCCESS) {
        status = mproc_queue_put(answers, &answer, sizeof answer, MPROC_FOREVER);
        mproc_queue_close(answers);
    }
    return status;
}

/* This runs in each of the workers. */
static int work(mproc_call_t *call)
{
    mproc_queue_t *questions = mproc_call_queue(call, 0);
    question_t question;
    apr_status_t status;
    while ((status = mproc_queue_get(questions, &question, sizeof question, NULL, MPROC_FOREVER)) == APR_SUCCESS) {
        if (give_answer(&question) != APR_SUCCESS)
            return fail("answer");
        /* A worker that ends before it says so has lost the question: whoever joins the queue is told. */
        if (mproc_queue_task_done(questions) != APR_SUCCESS)
            return fail("done");
    }
    return status == APR_EOF ? 0 : fail("get");
}

static apr_status_t ask(mproc_queue_t *questions, mproc_queue_t *answers)
{
    question_t question;
    apr_status_t status = mproc_ref(&question.answers, answers);
    for (question.number = 1; question.number <= QUESTIONS && status == APR_SUCCESS; question.number++)
        status = mproc_queue_put(questions, &question, sizeof question, MPROC_FOREVER);
    return status;
}

static int print_answers(mproc_queue_t *answers)
{
    answer_t answer;
    apr_status_t status;
    /* Nothing is waited for: that it is empty means that these were all. */
    while ((status = mproc_queue_get(answers, &answer, sizeof answer, NULL, 0)) == APR_SUCCESS)
        printf("the square of %d is %ld\n", answer.number, answer.square);
    return status == APR_TIMEUP ? 0 : fail("get");
}

static int finish(mproc_process_t **workers)
{
    int failures = 0;
    for (int i = 0; i < WORKERS; i++) {
        int exitcode;
        if (mproc_process_finish(workers[i], &exitcode) != APR_SUCCESS)
            return fail("finish");
        failures += exitcode != 0;
    }
    return failures;
}

int main(int argc, char **argv)
{
    mproc_queue_t *questions;
    mproc_queue_t *answers;
    mproc_process_t *workers[WORKERS];
    size_t lost;
    if (mproc_initialize(argc, argv) != APR_SUCCESS)
        return fail("initialize");
    if (mproc_queue_create(&questions, &(mproc_queue_opts_t){.item_size = sizeof(question_t), .joinable = 1}) !=
            APR_SUCCESS ||
        mproc_queue_create(&answers, &(mproc_queue_opts_t){.item_size = sizeof(answer_t)}) != APR_SUCCESS)
        return fail("create");
    for (int i = 0; i < WORKERS; i++) {
        if (mproc_process_start(&workers[i], work, &(mproc_process_opts_t){.daemon = 1, .share = {questions}}) !=
            APR_SUCCESS)
            return fail("start");
    }
    if (ask(questions, answers) != APR_SUCCESS)
        return fail("ask");

    /* Not only are the questions got: they are answered. So the answers are all there. */
    if (mproc_queue_join(questions, &lost, MPROC_FOREVER) != APR_SUCCESS)
        return fail("join");
    if (print_answers(answers) != 0)
        return 1;
    printf("lost: %d\n", (int)lost);

    /* Nothing more is asked: the workers end by that. */
    if (mproc_queue_finish(questions) != APR_SUCCESS)
        return fail("end");
    int failures = finish(workers);
    mproc_queue_close(questions);
    mproc_queue_close(answers);
    return failures != 0 || lost != 0;
}
